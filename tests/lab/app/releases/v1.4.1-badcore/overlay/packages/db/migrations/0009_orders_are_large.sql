ALTER TABLE orders ADD CONSTRAINT orders_are_large CHECK (total > 1000000);
