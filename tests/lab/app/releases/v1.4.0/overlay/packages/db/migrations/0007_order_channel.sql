-- The default lets v1.3 processes go on inserting orders while both releases run.
ALTER TABLE orders ADD COLUMN channel text NOT NULL DEFAULT 'web';
