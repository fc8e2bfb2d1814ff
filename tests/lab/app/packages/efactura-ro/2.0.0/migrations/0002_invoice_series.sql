CREATE TABLE plugin_efactura_series (
  id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
  tenant_id uuid NOT NULL REFERENCES tenants,
  prefix text NOT NULL,
  next_number integer NOT NULL DEFAULT 1,
  UNIQUE (tenant_id, prefix)
);
ALTER TABLE plugin_efactura_invoices ADD COLUMN series_id bigint REFERENCES plugin_efactura_series;
