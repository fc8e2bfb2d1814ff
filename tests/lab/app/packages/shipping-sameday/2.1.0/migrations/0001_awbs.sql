CREATE TABLE plugin_sameday_awbs (
  id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
  order_id bigint NOT NULL REFERENCES orders,
  awb text NOT NULL UNIQUE,
  created_at timestamptz NOT NULL DEFAULT now()
);
