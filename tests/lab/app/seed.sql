-- Fills a shop's empty v1.3.2 database (core and plugin migrations applied).
--   psql -v ON_ERROR_STOP=1 -v orders=100000 -v tenants=4 -v domain=shop.test -v admin_email=admin@shop.test
--        -v admin_password_hash='scrypt$...' -f seed.sql
-- Tenant 1 is "main" with the custom domain; the others are sub-domains of it (tenant-2, ...), the last one suspended.
-- The same arguments give the same rows: nothing is random. Times end on a fixed day for the same reason.
\set ON_ERROR_STOP on
BEGIN;
SET LOCAL synchronous_commit = off;

INSERT INTO tenants (id, slug, name, status, theme, created_at)
SELECT md5('ecommus-tenant-' || n)::uuid,
       CASE n WHEN 1 THEN 'main' ELSE 'tenant-' || n END,
       CASE n WHEN 1 THEN initcap(split_part(:'domain', '.', 1)) ELSE 'Tenant ' || n END,
       CASE WHEN n = :tenants AND n > 1 THEN 'suspended' ELSE 'active' END::tenant_status,
       'theme-fashion',
       '2025-01-01Z'
FROM generate_series(1, :tenants) n;

INSERT INTO settings (tenant_id, key, value) VALUES
  (md5('ecommus-tenant-1')::uuid, 'domain', to_jsonb(:'domain'::text)),
  (md5('ecommus-tenant-1')::uuid, 'plugin:@ecommus-plugin/shipping-sameday:settings', '{"username": "lab", "locker": true}');

INSERT INTO users (tenant_id, email, password_hash, role)
VALUES (md5('ecommus-tenant-1')::uuid, :'admin_email', :'admin_password_hash', 'admin');

INSERT INTO categories (tenant_id, slug, name, position)
SELECT t.id, c.slug, c.name, c.position
FROM tenants t
CROSS JOIN (VALUES ('women', 'Women', 1), ('men', 'Men', 2), ('shoes', 'Shoes', 3), ('bags', 'Bags', 4), ('sale', 'Sale', 5)) c (slug, name, position);

-- 200 products and 2,000 customers per tenant; product and customer n of a tenant can be found by number.
CREATE TEMP TABLE tenant_numbers ON COMMIT DROP AS
SELECT md5('ecommus-tenant-' || n)::uuid AS tenant_id, n FROM generate_series(1, :tenants) n;

INSERT INTO products (tenant_id, category_id, sku, name, price, attributes, created_at)
SELECT t.tenant_id, c.id, 'SKU-' || lpad(p::text, 4, '0'), 'Product ' || p, 10 + p * 37 % 200 + 0.99,
       jsonb_build_object('color', (ARRAY['red', 'green', 'blue', 'black'])[1 + p % 4], 'sizes', '["S", "M", "L"]'::jsonb, 'weight_g', 100 + p % 900),
       '2025-01-02Z'
FROM tenant_numbers t
CROSS JOIN generate_series(1, 200) p
JOIN categories c ON c.tenant_id = t.tenant_id AND c.position = 1 + p % 5
ORDER BY t.n, p;

INSERT INTO customers (tenant_id, email, name, created_at)
SELECT t.tenant_id, 'customer' || k || '@example.test', 'Customer ' || k, '2025-01-03Z'
FROM tenant_numbers t CROSS JOIN generate_series(1, 2000) k
ORDER BY t.n, k;

-- Identity columns count from 1 in the order above, so the ids of tenant t's products and customers are known, and the
-- total can be told from the formulas of price (above) and lines (below) without a second pass.
INSERT INTO orders (tenant_id, customer_id, status, total, shipping, placed_at)
SELECT t.tenant_id, (t.n - 1) * 2000 + 1 + o % 2000,
       (ARRAY['pending', 'paid', 'shipped', 'delivered', 'delivered', 'delivered', 'cancelled', 'refunded'])[1 + o % 8]::order_status,
       (1 + o % 3) * (10.99 + (1 + o * 7 % 200) * 37 % 200) + (1 + (o + 1) % 3) * (10.99 + (1 + (o * 7 + 101) % 200) * 37 % 200),
       jsonb_build_object('method', CASE WHEN o % 3 = 0 THEN 'locker' ELSE 'courier' END, 'city', 'City ' || o % 40, 'zip', lpad((o % 900000)::text, 6, '0')),
       '2026-03-01Z'::timestamptz - make_interval(mins => (:orders - o) * 5)
FROM generate_series(1, :orders) o
JOIN tenant_numbers t ON t.n = 1 + o % :tenants
ORDER BY o;

-- Two lines an order, of two different products of its tenant.
INSERT INTO order_lines (order_id, product_id, quantity, unit_price)
SELECT o.id, p.id, 1 + (o.id + l) % 3, p.price
FROM orders o
JOIN tenant_numbers t ON t.tenant_id = o.tenant_id
CROSS JOIN generate_series(0, 1) l
JOIN products p ON p.id = (t.n - 1) * 200 + 1 + (o.id * 7 + l * 101) % 200
ORDER BY o.id, l;

INSERT INTO stock_movements (product_id, quantity, reason, created_at)
SELECT id, 100000, 'stock taking', '2025-01-02Z' FROM products ORDER BY id;

INSERT INTO jobs (kind, payload, status, created_at, started_at, finished_at)
SELECT 'noop', '{}', 'done', '2026-03-01Z', '2026-03-01Z', '2026-03-01Z' FROM generate_series(1, 20);

INSERT INTO plugin_reviews (product_id, rating, body, created_at)
SELECT id, 1 + id % 5, 'Review of ' || name, '2025-06-01Z' FROM products WHERE id % 4 = 0 ORDER BY id;
COMMIT;
-- By name: an ordinary owner may not vacuum the catalogues.
VACUUM ANALYZE tenants, products, customers, orders, order_lines, stock_movements;
