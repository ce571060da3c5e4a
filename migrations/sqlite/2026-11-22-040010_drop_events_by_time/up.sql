-- The index by time that holds more has taken its place.
DROP INDEX events_by_time;
