-- The old name of the column stays for as long as code that uses it runs.
ALTER TABLE customers RENAME COLUMN name TO full_name;
ALTER TABLE customers ADD COLUMN name text;
UPDATE customers SET name = full_name;
ALTER TABLE customers ALTER COLUMN name SET NOT NULL;

CREATE FUNCTION customers_keep_both_names() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.full_name := coalesce(NEW.full_name, NEW.name);
  NEW.name := coalesce(NEW.name, NEW.full_name);
  RETURN NEW;
END $$;
CREATE TRIGGER customers_both_names BEFORE INSERT OR UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION customers_keep_both_names();
