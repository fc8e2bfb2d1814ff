CREATE INDEX orders_tenant_placed ON orders (tenant_id, placed_at DESC);
