DROP INDEX events_sold_by_time;
