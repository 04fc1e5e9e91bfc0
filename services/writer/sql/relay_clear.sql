-- Nothing is under way any more.
DELETE FROM relay_intent
