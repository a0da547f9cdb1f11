import { byIndex, nowMicros } from "./functions.ts";
import type { Names } from "./names.ts";

/** The functions around commits: settling lost ones, following changes, trimming and sweeping. */
export function upkeepFunctions(names: Names): string[] {
  return [
    settleFunction(names),
    changesFunction(names),
    trimFunction(names),
    expireFunction(names),
    forgetFunction(names),
  ];
}

/**
 * What has become of a flush whose answer was lost, given the latest revision known before it was sent: its outcome if it was applied; an empty
 * array if it was not, and then it never will be, should it still arrive; NULL if what happened since then is forgotten.
 * The lock sees to it that the flush is not just under way: either it came first and is seen, or it comes later and is refused.
 */
function settleFunction({ quoted: s, commitLock }: Names): string {
  return `
CREATE FUNCTION ${s}.settle_1(_id uuid, _known bigint)
RETURNS bigint[] LANGUAGE plpgsql ${byIndex} AS $$
DECLARE
  _outcome bigint[];
BEGIN
  PERFORM pg_advisory_xact_lock(${commitLock});
  SELECT c.outcome INTO _outcome FROM ${s}.changes c WHERE c.revision > _known AND c.id = _id;
  IF _outcome IS NOT NULL THEN
    RETURN _outcome;
  END IF;
  IF (SELECT m.forgotten FROM ${s}.meta m) > _known THEN
    RETURN NULL;
  END IF;
  INSERT INTO ${s}.tombstones (id, at) VALUES (_id, ${nowMicros}) ON CONFLICT DO NOTHING;
  RETURN ARRAY[]::bigint[];
END $$`;
}

/** What was committed after a revision, oldest first. Not everything is there any more if `forgotten` is above that revision. */
function changesFunction({ quoted: s }: Names): string {
  return `
CREATE FUNCTION ${s}.changes_1(_after bigint, _limit int)
RETURNS TABLE (revision bigint, keys bytea[], topics bytea[]) LANGUAGE plpgsql STABLE ${byIndex} AS $$
BEGIN
  RETURN QUERY SELECT c.revision, c.keys, c.topics FROM ${s}.changes c WHERE c.revision > _after ORDER BY c.revision LIMIT _limit;
END $$`;
}

/**
 * Forgets the records of a topic below an offset, at most `_rows` rows at a time; returns whether rows are left to delete. The offset is
 * recorded with the first call; together with the time of the last record forgotten it keeps offsets and times from going back.
 */
function trimFunction(names: Names): string {
  const s = names.quoted;
  return `
CREATE FUNCTION ${s}.trim_1(_topic bytea, _before bigint, _rows int)
RETURNS boolean LANGUAGE plpgsql ${byIndex} AS $$
DECLARE
  _first bigint;
  _next bigint;
  _time bigint;
  _deleted int;
BEGIN
  SELECT b.first, b.next INTO _first, _next FROM ${s}.bounds_1(_topic) b;
  _before := least(_before, _next);
  IF _before <= _first AND NOT EXISTS (SELECT FROM ${s}.log l WHERE l.topic = _topic AND l.first < _first AND l.first + l.count <= _first) THEN
    RETURN false;
  END IF;
  SELECT l.time INTO _time FROM ${s}.log l WHERE l.topic = _topic AND l.first < _before ORDER BY l.first DESC LIMIT 1;
  INSERT INTO ${s}.trims AS t (topic, first, time) VALUES (_topic, _before, coalesce(_time, 0))
    ON CONFLICT (topic) DO UPDATE SET first = greatest(t.first, excluded.first), time = greatest(t.time, excluded.time);
  DELETE FROM ${s}.log l USING (
    SELECT r.first FROM ${s}.log r WHERE r.topic = _topic AND r.first < greatest(_before, _first) ORDER BY r.first LIMIT _rows
  ) d WHERE l.topic = _topic AND l.first = d.first AND l.first + l.count <= greatest(_before, _first);
  GET DIAGNOSTICS _deleted = ROW_COUNT;
  RETURN _deleted >= _rows;
END $$`;
}

/** Deletes expired entries, as one commit. */
function expireFunction({ quoted: s, commitLock }: Names): string {
  return `
CREATE FUNCTION ${s}.expire_1(_limit int)
RETURNS int LANGUAGE plpgsql ${byIndex} AS $$
DECLARE
  _now bigint := ${nowMicros};
  _base bigint;
  _keys bytea[];
BEGIN
  IF NOT EXISTS (SELECT FROM ${s}.kv WHERE expires <= _now) THEN
    RETURN 0;
  END IF;
  PERFORM pg_advisory_xact_lock(${commitLock});
  _base := coalesce((SELECT revision FROM ${s}.changes ORDER BY revision DESC LIMIT 1), 0);
  _keys := array(SELECT key FROM ${s}.kv WHERE expires <= _now ORDER BY expires LIMIT _limit);
  IF cardinality(_keys) = 0 THEN
    RETURN 0;
  END IF;
  DELETE FROM ${s}.kv WHERE key = ANY (_keys);
  INSERT INTO ${s}.changes (revision, id, keys, topics, outcome, at) VALUES (_base + 1, NULL, _keys, NULL, ARRAY[]::bigint[], _now);
  RETURN cardinality(_keys);
END $$`;
}

/**
 * Forgets changes and refused flushes that nobody can ask for any more: older than ten minutes, and all but the latest 20,000 changes
 * once they are older than a minute. The last change stays: it holds the latest revision.
 */
function forgetFunction({ quoted: s, sweepLock }: Names): string {
  return `
CREATE FUNCTION ${s}.forget_1()
RETURNS int LANGUAGE plpgsql ${byIndex} AS $$
DECLARE
  _now bigint := ${nowMicros};
  _last bigint;
  _deleted int;
BEGIN
  IF NOT pg_try_advisory_xact_lock(${sweepLock}) THEN
    RETURN 0;
  END IF;
  DELETE FROM ${s}.tombstones t WHERE t.at < _now - 600000000;
  SELECT max(o.revision) INTO _last FROM (
    SELECT c.revision, c.at FROM ${s}.changes c ORDER BY c.revision LIMIT 50000
  ) o
  WHERE o.revision < (SELECT c.revision FROM ${s}.changes c ORDER BY c.revision DESC LIMIT 1)
    AND (o.at < _now - 600000000 OR (o.at < _now - 60000000
      AND o.revision <= (SELECT c.revision FROM ${s}.changes c ORDER BY c.revision DESC OFFSET 20000 LIMIT 1)));
  IF _last IS NULL THEN
    RETURN 0;
  END IF;
  UPDATE ${s}.meta SET forgotten = greatest(forgotten, _last);
  DELETE FROM ${s}.changes c WHERE c.revision <= _last;
  GET DIAGNOSTICS _deleted = ROW_COUNT;
  RETURN _deleted;
END $$`;
}
