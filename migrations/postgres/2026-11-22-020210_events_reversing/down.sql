DROP INDEX events_reversing;
