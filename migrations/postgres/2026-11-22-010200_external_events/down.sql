DROP TABLE external_events;
