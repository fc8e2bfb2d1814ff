CREATE TABLE order_history (
  id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
  order_id bigint NOT NULL REFERENCES orders,
  status order_status NOT NULL,
  at timestamptz NOT NULL DEFAULT now()
);

CREATE FUNCTION order_history_add() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO order_history (order_id, status) VALUES (NEW.id, NEW.status);
  RETURN NEW;
END $$;
CREATE TRIGGER order_history_add AFTER INSERT OR UPDATE OF status ON orders FOR EACH ROW EXECUTE FUNCTION order_history_add();

-- And one that changes a row on its way into a table that v1.3.2 has as well.
CREATE FUNCTION order_mark() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.shipping := NEW.shipping || '{"marked": true}';
  RETURN NEW;
END $$;
CREATE TRIGGER order_mark BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION order_mark();
