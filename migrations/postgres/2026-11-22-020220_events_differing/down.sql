DROP INDEX events_differing;
