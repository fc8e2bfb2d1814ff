ALTER TYPE order_status ADD VALUE 'on_hold' BEFORE 'pending';
