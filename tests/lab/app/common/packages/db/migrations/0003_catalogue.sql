CREATE TABLE categories (
  id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
  tenant_id uuid NOT NULL REFERENCES tenants,
  slug text NOT NULL,
  name text NOT NULL,
  position integer NOT NULL DEFAULT 0,
  UNIQUE (tenant_id, slug)
);

CREATE TABLE products (
  id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
  tenant_id uuid NOT NULL REFERENCES tenants,
  category_id bigint NOT NULL REFERENCES categories,
  sku text NOT NULL,
  name text NOT NULL,
  price numeric(12, 2) NOT NULL CHECK (price >= 0),
  attributes jsonb NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT now(),
  deleted_at timestamptz,
  UNIQUE (tenant_id, sku)
);
CREATE INDEX products_attributes ON products USING gin (attributes);
