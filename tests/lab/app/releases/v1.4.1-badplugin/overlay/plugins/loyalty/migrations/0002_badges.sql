ALTER TABLE plugin_loyalty_levels ADD COLUMN badge text;
