DROP INDEX attempts_forged;
