-- Sessions of v1 end: their access tokens cannot be renewed with the new keys.
DELETE FROM refresh_tokens;
ALTER TABLE refresh_tokens ADD COLUMN family uuid NOT NULL DEFAULT gen_random_uuid();
