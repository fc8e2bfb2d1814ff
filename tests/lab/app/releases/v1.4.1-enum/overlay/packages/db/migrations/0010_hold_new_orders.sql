-- From here on every order has a status that v1.4.0 does not know.
ALTER TABLE orders ALTER COLUMN status SET DEFAULT 'on_hold';
