CREATE TYPE tenant_status AS ENUM ('active', 'suspended', 'archived');

CREATE TABLE tenants (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  slug text NOT NULL UNIQUE,
  name text NOT NULL,
  status tenant_status NOT NULL DEFAULT 'active',
  theme text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);

-- A row without a tenant belongs to the whole installation. Keys in use: domain (custom domain of a tenant),
-- plugin:<name>:enabled and plugin:<name>:settings.
CREATE TABLE settings (
  id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
  tenant_id uuid REFERENCES tenants,
  key text NOT NULL,
  value jsonb NOT NULL
);
CREATE UNIQUE INDEX settings_tenant_key ON settings (coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'), key);
CREATE UNIQUE INDEX settings_domain ON settings ((value #>> '{}')) WHERE key = 'domain';
