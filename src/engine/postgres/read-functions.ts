import { byIndex, nowMicros } from "./functions.ts";
import type { Names } from "./names.ts";

/** The functions that read. Each is one statement for the client and sees one snapshot; `lifetime` is in microseconds, NULL for ever. */
export function readFunctions(names: Names): string[] {
  return [getManyFunction(names), listFunction(names), readLogFunction(names), boundsFunction(names)];
}

function getManyFunction({ quoted: s }: Names): string {
  return `
CREATE FUNCTION ${s}.get_many_1(_keys bytea[])
RETURNS TABLE (key bytea, value bytea, revision bigint, lifetime bigint) LANGUAGE plpgsql STABLE ${byIndex} AS $$
DECLARE
  _now bigint := ${nowMicros};
BEGIN
  RETURN QUERY SELECT k.key, k.value, k.revision, k.expires - _now FROM ${s}.kv k
    WHERE k.key = ANY (_keys) AND (k.expires IS NULL OR k.expires > _now);
END $$`;
}

function listFunction({ quoted: s }: Names): string {
  const page = (order: string) => `
    RETURN QUERY SELECT k.key, k.value, k.revision, k.expires - _now FROM ${s}.kv k
      WHERE k.key >= _start AND k.key < _end AND (k.expires IS NULL OR k.expires > _now)
      ORDER BY k.key ${order} LIMIT _limit;`;
  return `
CREATE FUNCTION ${s}.list_1(_start bytea, _end bytea, _limit int, _reverse boolean)
RETURNS TABLE (key bytea, value bytea, revision bigint, lifetime bigint) LANGUAGE plpgsql STABLE ${byIndex} AS $$
DECLARE
  _now bigint := ${nowMicros};
BEGIN
  IF _reverse THEN${page("DESC")}
  ELSE${page("ASC")}
  END IF;
END $$`;
}

/** Rows of records from the one on that holds `_from`, until there are enough records or bytes. `kept`: the first offset kept. */
function readLogFunction({ quoted: s }: Names): string {
  return `
CREATE FUNCTION ${s}.read_log_1(_topic bytea, _from bigint, _limit int, _bytes bigint)
RETURNS TABLE (kept bigint, first bigint, count int, "time" bigint, data bytea) LANGUAGE plpgsql STABLE ${byIndex} AS $$
DECLARE
  _start bigint;
  _taken bigint := 0;
  _size bigint := 0;
BEGIN
  kept := coalesce((SELECT t.first FROM ${s}.trims t WHERE t.topic = _topic), 0);
  _start := greatest(_from, kept);
  FOR first, count, "time", data IN
    SELECT l.first, l.count, l.time, l.data FROM ${s}.log l
    WHERE l.topic = _topic AND l.first >= coalesce(
      (SELECT r.first FROM ${s}.log r WHERE r.topic = _topic AND r.first <= _start ORDER BY r.first DESC LIMIT 1), 0)
    ORDER BY l.first
  LOOP
    CONTINUE WHEN first + count <= _start;
    RETURN NEXT;
    _taken := first + count - _start;
    _size := _size + octet_length(data) * (first + count - greatest(first, _start)) / count;
    EXIT WHEN _taken >= _limit OR _size >= _bytes;
  END LOOP;
END $$`;
}

function boundsFunction({ quoted: s }: Names): string {
  return `
CREATE FUNCTION ${s}.bounds_1(_topic bytea, OUT first bigint, OUT next bigint)
LANGUAGE plpgsql STABLE ${byIndex} AS $$
BEGIN
  first := coalesce((SELECT t.first FROM ${s}.trims t WHERE t.topic = _topic), 0);
  next := greatest(first, (SELECT l.first + l.count FROM ${s}.log l WHERE l.topic = _topic ORDER BY l.first DESC LIMIT 1));
END $$`;
}
