CREATE EXTENSION citext;
CREATE EXTENSION pg_trgm;
ALTER TABLE customers ALTER COLUMN email TYPE citext;
CREATE INDEX products_name_trigrams ON products USING gin (name gin_trgm_ops);
