-- The two by who signed take its place.
DROP INDEX attempts_refused;
