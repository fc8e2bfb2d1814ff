CREATE TABLE plugin_efactura_invoices (
  id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
  order_id bigint NOT NULL UNIQUE REFERENCES orders,
  number text NOT NULL,
  uploaded_at timestamptz
);
