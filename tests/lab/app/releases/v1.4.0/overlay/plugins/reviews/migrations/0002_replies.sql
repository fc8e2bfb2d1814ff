CREATE TABLE plugin_review_replies (
  id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
  review_id bigint NOT NULL REFERENCES plugin_reviews ON DELETE CASCADE,
  body text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
