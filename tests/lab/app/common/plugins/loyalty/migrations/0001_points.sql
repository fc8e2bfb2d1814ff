CREATE TABLE plugin_loyalty_points (
  customer_id bigint PRIMARY KEY REFERENCES customers,
  points integer NOT NULL DEFAULT 0 CHECK (points >= 0),
  updated_at timestamptz NOT NULL DEFAULT now()
);
