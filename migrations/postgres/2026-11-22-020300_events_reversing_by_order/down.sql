DROP INDEX events_reversing_by_order;
