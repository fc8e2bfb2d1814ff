CREATE TYPE return_status AS ENUM ('requested', 'received', 'refunded', 'rejected');

CREATE TABLE order_returns (
  id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
  order_id bigint NOT NULL REFERENCES orders,
  tenant_id uuid NOT NULL REFERENCES tenants,
  status return_status NOT NULL DEFAULT 'requested',
  reason text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX order_returns_order ON order_returns (order_id);
