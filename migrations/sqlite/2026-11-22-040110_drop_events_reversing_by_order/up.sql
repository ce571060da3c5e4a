-- The index by order that holds more has taken its place.
DROP INDEX events_reversing_by_order;
