DROP INDEX events_reversals;
