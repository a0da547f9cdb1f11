import type { Names } from "./names.ts";

/**
 * The functions that do the work inside the server, so that a flush of many commits is one call and one transaction.
 *
 * All of them agree on this:
 * - Whatever writes takes the commit lock first and holds it until its transaction ends. So commits happen one after another, and, because
 *   each statement of a function takes a new snapshot under READ COMMITTED, what follows the lock sees everything before it.
 *   Under a stricter level (a user's own transaction) the snapshot may be older than the lock; then the insert into
 *   `changes` meets the revision that it did not see and fails, and nothing is applied.
 * - The latest revision is the last row of `changes`: rows are only added there, so a long transaction elsewhere, which keeps the
 *   server from removing old versions of rows, does not slow commits down as it would with a counter in a row of its own.
 * - Times are microseconds since the epoch. An entry whose `expires` is not after the present is absent.
 * - Names end in the version of the protocol: functions that clients still call are never changed, only added.
 */
export function commitFunctions(names: Names): string[] {
  return [
    appendFunction(names),
    appendSomeFunction(names),
    heldFunction(names),
    writeFunction(names),
    ...checkingFunctions(names),
  ];
}

/** Those that evaluate checks of keys. */
export function checkingFunctions(names: Names): string[] {
  return [commitFunction(names), verifyFunction(names)];
}

/**
 * Every statement of these has one good plan, by index. Without this the server would plan anew on each call, as the length of an array
 * promises a cheaper plan, or keep a sequential scan that it chose while the table was small. Each setting costs about a microsecond.
 */
export const byIndex = "SET plan_cache_mode = force_generic_plan SET enable_seqscan = off";

/** For functions that join what they were given with the tables: key by key, too. */
const byIndexAndLoop = `${byIndex} SET enable_hashjoin = off SET enable_mergejoin = off SET enable_bitmapscan = off SET jit = off`;

/** Records of one topic are packed into rows of about so many bytes. Larger rows pay off in reading, and cost no more in writing. */
export const rowBytes = 65_536;

export const nowMicros = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint";

/** Takes the commit lock, refuses a flush that was given up (see `settle_1`), and reads the latest revision. */
function begin({ quoted: s, commitLock }: Names): string {
  return `
  -- An expression costs less than a statement; what the function returns, nothing, is not NULL.
  _given_up := pg_advisory_xact_lock(${commitLock}) IS NULL;
  SELECT coalesce((SELECT revision FROM ${s}.changes ORDER BY revision DESC LIMIT 1), 0),
    EXISTS (SELECT FROM ${s}.tombstones t WHERE t.id = _id)
    INTO _base, _given_up;
  IF _given_up THEN
    RAISE EXCEPTION 'this flush was given up before it arrived' USING ERRCODE = 'AS001';
  END IF;
  _now := ${nowMicros};`;
}

/** Whether anybody listens for changes: then the lock that listeners share cannot be had. */
function listened({ listenLock }: Names): string {
  return `
  _listened := CASE WHEN pg_try_advisory_lock(${listenLock}) THEN pg_advisory_unlock(${listenLock})::int - 1 ELSE 1 END;`;
}

/** Adds rows of records to topics; returns each topic's first new offset. `_at`: records before the row's in this call. */
function appendFunction({ quoted: s }: Names): string {
  return `
CREATE FUNCTION ${s}.append_1(_topics bytea[], _topic int[], _at int[], _count int[], _data bytea[], _now bigint)
RETURNS bigint[] LANGUAGE plpgsql ${byIndexAndLoop} AS $$
DECLARE
  _next bigint[];
  _time bigint[];
BEGIN
  SELECT array_agg(o.next), array_agg(greatest(o.time, _now / 1000)) INTO _next, _time FROM (
    SELECT coalesce(l.first + l.count, t.first, 0) AS next, coalesce(l.time, t.time, 0) AS time
    FROM unnest(_topics) WITH ORDINALITY u(topic, i)
    LEFT JOIN LATERAL (
      SELECT r.first, r.count, r.time FROM ${s}.log r WHERE r.topic = u.topic ORDER BY r.first DESC LIMIT 1
    ) l ON true
    LEFT JOIN LATERAL (SELECT m.first, m.time FROM ${s}.trims m WHERE m.topic = u.topic OFFSET 0) t ON true
    ORDER BY u.i
  ) o;
  INSERT INTO ${s}.log (topic, first, count, time, data)
    SELECT _topics[u.t], _next[u.t] + u.a, u.n, _time[u.t], u.d FROM unnest(_topic, _at, _count, _data) u(t, a, n, d);
  RETURN _next;
END $$`;
}

/** Adds the rows of those commits that succeeded, small ones joined to rows of about 64 KiB. */
function appendSomeFunction({ quoted: s }: Names): string {
  return `
CREATE FUNCTION ${s}.append_some_1(_topics bytea[], _commit int[], _topic int[], _count int[], _data bytea[], _status int[], _now bigint)
RETURNS bigint[] LANGUAGE plpgsql ${byIndexAndLoop} AS $$
DECLARE
  _t int[];
  _a int[];
  _n int[];
  _d bytea[];
BEGIN
  SELECT array_agg(j.t), array_agg(j.a), array_agg(j.n), array_agg(j.d) INTO _t, _a, _n, _d FROM (
    SELECT p.t, min(p.a)::int AS a, sum(p.n)::int AS n, string_agg(p.d, ''::bytea ORDER BY p.i) AS d FROM (
      SELECT u.t, u.n, u.d, u.i, sum(u.n) OVER earlier - u.n AS a, (sum(octet_length(u.d)) OVER earlier - 1) / ${rowBytes} AS part
      FROM unnest(_commit, _topic, _count, _data) WITH ORDINALITY u(c, t, n, d, i)
      WHERE _status[u.c] = 0
      WINDOW earlier AS (PARTITION BY u.t ORDER BY u.i)
    ) p
    GROUP BY p.t, p.part
  ) j;
  RETURN ${s}.append_1(_topics, _t, _a, _n, _d, _now);
END $$`;
}

/**
 * Whether each range still holds what its reader saw: the digest of its live entries in key order, those keys left out that earlier commits
 * of the same flush write (they are checked one by one). NULL is the digest of nothing.
 */
function heldFunction({ quoted: s }: Names): string {
  return `
CREATE FUNCTION ${s}.held_1(_starts bytea[], _ends bytea[], _sizes int[], _digests bytea[],
  _keys bytea[], _left_out_range int[], _left_out_slot int[], _now bigint)
RETURNS boolean[] LANGUAGE plpgsql STABLE ${byIndexAndLoop} AS $$
BEGIN
  RETURN (
    SELECT array_agg(h.held) FROM (
      SELECT r.digest IS NOT DISTINCT FROM f.digest AS held
      FROM unnest(_starts, _ends, _sizes, _digests) WITH ORDINALITY r(start, stop, size, digest, i)
      CROSS JOIN LATERAL (
        SELECT array(SELECT _keys[o.slot] FROM unnest(_left_out_range, _left_out_slot) o(range, slot) WHERE o.range = r.i) AS keys
        OFFSET 0
      ) x
      CROSS JOIN LATERAL (
        SELECT sha256(string_agg(int8send(e.revision) || int4send(octet_length(e.key)) || e.key, ''::bytea)) AS digest FROM (
          SELECT k.key, k.revision FROM ${s}.kv k
          WHERE k.key >= r.start AND k.key < r.stop AND (k.expires IS NULL OR k.expires > _now) AND k.key <> ALL (x.keys)
          ORDER BY k.key LIMIT r.size + 1
        ) e
      ) f
      ORDER BY r.i
    ) h
  );
END $$`;
}

/** What the two functions below are given to write. */
const writeParameters = `_keys bytea[], _values bytea[], _order int[], _ttls float8[], _deletes bytea[],
  _topics bytea[], _topic int[], _at int[], _count int[], _data bytea[]`;

/** Their end: each part is one statement, as nothing can be refused any more. */
function write(names: Names): string {
  const s = names.quoted;
  return `
  IF _order IS NOT NULL OR _ttls IS NOT NULL THEN
    INSERT INTO ${s}.kv (key, value, revision, expires)
      SELECT u.key, u.value, _base + coalesce(u.o, u.i), _now + (u.ttl * 1000)::bigint
      FROM unnest(_keys, _values, _order, _ttls) WITH ORDINALITY u(key, value, o, ttl, i)
      ON CONFLICT (key) DO UPDATE SET value = excluded.value, revision = excluded.revision, expires = excluded.expires;
  ELSIF _keys IS NOT NULL THEN
    INSERT INTO ${s}.kv (key, value, revision, expires)
      SELECT u.key, u.value, _base + u.i, NULL FROM unnest(_keys, _values) WITH ORDINALITY u(key, value, i)
      ON CONFLICT (key) DO UPDATE SET value = excluded.value, revision = excluded.revision, expires = excluded.expires;
  END IF;
  IF _deletes IS NOT NULL THEN
    DELETE FROM ${s}.kv k WHERE k.key = ANY (_deletes);
  END IF;${listened(names)}
  _outcome := ARRAY[_now, _base, _listened];
  IF _topics IS NOT NULL THEN
    _outcome := _outcome || ${s}.append_1(_topics, _topic, _at, _count, _data, _now);
  END IF;
  INSERT INTO ${s}.changes (revision, id, keys, topics, outcome, at)
    VALUES (_base + _commits, _id, _keys || _deletes, _topics, _outcome, _now);
  RETURN _outcome;`;
}

/**
 * A flush of commits that neither check nor add: nothing can be refused, so the client has already worked out the last
 * write of every key, and each part is one statement. `_order`: which of the commits wrote the key, from 1; NULL if the
 * n-th commit wrote the n-th key.
 * Returns the time, the revision before, whether anybody listens, and the first new offset of each topic.
 */
function writeFunction(names: Names): string {
  return `
CREATE FUNCTION ${names.quoted}.write_1(_id uuid, _commits int,
  ${writeParameters})
RETURNS bigint[] LANGUAGE plpgsql ${byIndex} AS $$
DECLARE
  _base bigint;
  _given_up boolean;
  _now bigint;
  _listened bigint;
  _outcome bigint[];
BEGIN${begin(names)}${write(names)}
END $$`;
}

/**
 * The same for commits that check keys which no commit before them in the flush writes: if all checks hold at the beginning, they hold when it is their turn. Returns nothing, and has written
 * nothing, if one does not hold: then `commit_1` says what becomes of each commit.
 */
export function checkedWriteFunction(names: Names): string {
  return `
CREATE FUNCTION ${names.quoted}.checked_write_1(_id uuid, _commits int,
  ${writeParameters},
  _checked bytea[], _revisions float8[])
RETURNS bigint[] LANGUAGE plpgsql ${byIndexAndLoop} AS $$
DECLARE
  _base bigint;
  _given_up boolean;
  _now bigint;
  _listened bigint;
  _outcome bigint[];
BEGIN${begin(names)}
  IF EXISTS (
    SELECT FROM unnest(_checked, _revisions) c(key, revision)
    LEFT JOIN LATERAL (
      SELECT k.revision FROM ${names.quoted}.kv k WHERE k.key = c.key AND (k.expires IS NULL OR k.expires > _now) OFFSET 0
    ) e ON true
    WHERE CASE WHEN c.revision < 0 THEN e.revision IS NULL ELSE coalesce(e.revision, 0) <> c.revision END
  ) THEN
    RETURN ARRAY[]::bigint[];
  END IF;${write(names)}
END $$`;
}

/**
 * A flush of any commits, each evaluated on what those before it left: the entries concerned are read in one statement, the commits are
 * evaluated on them one after another in memory, and what has become of them is written in one statement again.
 *
 * A commit is a run of steps (see `Op` in `program.ts`): checks, then sums, then effects, so that nothing has an effect before everything has held.
 * A step works on a slot, an index into `_keys`. The first `_loaded` keys are checked or added to, the first `_summed` of them are added to.
 * Sums are done in floating point, as the client would do them: exact for the integers that are allowed, and equal where they are refused.
 *
 * Returns the time, the revision before, whether anybody listens, the first new offset of each topic (NULL if no append to it
 * took place), each commit's status, and each sum.
 */
function commitFunction(names: Names): string {
  const s = names.quoted;
  return `
CREATE FUNCTION ${s}.commit_1(_id uuid, _writes int[], _first int[],
  _op int[], _slot int[], _at int[], _ref int[], _x float8[], _ttl float8[],
  _floor_clock int[], _floor float8[], _ceiling_clock int[], _ceiling float8[], _adds int,
  _keys bytea[], _loaded int, _summed int, _values bytea[],
  _starts bytea[], _ends bytea[], _sizes int[], _digests bytea[], _left_out_range int[], _left_out_slot int[],
  _topics bytea[], _row_commit int[], _row_topic int[], _row_count int[], _row_data bytea[])
RETURNS bigint[] LANGUAGE plpgsql ${byIndexAndLoop} AS $$
DECLARE
  _base bigint;
  _given_up boolean;
  _now bigint;
  _listened bigint := 0;
  _slots int := coalesce(array_length(_keys, 1), 0);
  _commits int := array_length(_writes, 1);
  -- The state of each slot: revision (0: absent), integer (NULL: none), expiry, and where its new value comes from
  -- (NULL: unchanged, -1: deleted, 0: the integer, above: index into _values).
  _revision bigint[];
  _integer float8[];
  _expires bigint[];
  _source int[];
  _held boolean[];
  _clock float8[];
  _latest bigint;
  _status int[] := array_fill(0, ARRAY[_commits]);
  _sums float8[] := array_fill(NULL::float8, ARRAY[_adds]);
  _failed int;
  _t int;
  _n float8;
  _deleted boolean := false;
  _offsets bigint[];
BEGIN${begin(names)}
  _clock := ARRAY[0, _now / 1000, _now];
  _latest := _base;
  IF _loaded > 0 THEN
    SELECT array_agg(l.revision), array_agg(l.integer), array_agg(l.expires) INTO _revision, _integer, _expires FROM (
      SELECT coalesce(e.revision, 0) AS revision, e.expires,
        CASE WHEN u.i <= _summed AND octet_length(e.value) = 9 AND get_byte(e.value, 0) = 193
          THEN ('x' || encode(substr(e.value, 2), 'hex'))::bit(64)::bigint::float8 END AS integer
      FROM unnest(_keys) WITH ORDINALITY u(key, i)
      LEFT JOIN LATERAL (
        SELECT k.revision, k.expires, k.value FROM ${s}.kv k
        WHERE k.key = u.key AND (k.expires IS NULL OR k.expires > _now) OFFSET 0
      ) e ON true
      WHERE u.i <= _loaded
      ORDER BY u.i
    ) l;
  END IF;
  IF _slots > _loaded THEN
    _revision := _revision || array_fill(0::bigint, ARRAY[_slots - _loaded]);
    _integer := _integer || array_fill(NULL::float8, ARRAY[_slots - _loaded]);
    _expires := _expires || array_fill(NULL::bigint, ARRAY[_slots - _loaded]);
  END IF;
  _source := array_fill(NULL::int, ARRAY[_slots]);
  IF _starts IS NOT NULL THEN
    _held := ${s}.held_1(_starts, _ends, _sizes, _digests, _keys, _left_out_range, _left_out_slot, _now);
  END IF;

  FOR c IN 1 .. _commits LOOP
    _failed := 0;
    FOR i IN _first[c] .. _first[c + 1] - 1 LOOP
      _t := _slot[i];
      CASE _op[i]
      WHEN 1 THEN
        IF (_x[i] >= 0 AND _revision[_t] <> _x[i]) OR (_x[i] < 0 AND _revision[_t] = 0) THEN
          _failed := 1 + 4 * _at[i];
          EXIT;
        END IF;
      WHEN 2 THEN
        _source[_t] := _ref[i];
        _revision[_t] := _latest + 1;
        _integer[_t] := _x[i];
        _expires[_t] := _now + (_ttl[i] * 1000)::bigint;
      WHEN 3 THEN
        IF _revision[_t] = 0 THEN
          _n := 0;
        ELSE
          _n := _integer[_t];
          IF _n IS NULL OR abs(_n) > 9007199254740991 THEN
            _failed := 2 + 4 * _at[i];
            EXIT;
          END IF;
        END IF;
        IF _floor[i] IS NOT NULL THEN
          _n := greatest(_n, _clock[_floor_clock[i]] + _floor[i]);
        END IF;
        _n := _n + _x[i];
        IF abs(_n) > 9007199254740991 THEN
          _failed := 3 + 4 * _at[i];
          EXIT;
        END IF;
        _sums[_ref[i]] := _n;
        IF _n > _clock[_ceiling_clock[i]] + _ceiling[i] THEN
          _failed := 4 + 4 * _at[i];
          EXIT;
        END IF;
      WHEN 4 THEN
        _integer[_t] := _sums[_ref[i]];
        _source[_t] := 0;
        IF _ttl[i] IS NOT NULL THEN
          _expires[_t] := _now + (_ttl[i] * 1000)::bigint;
        ELSIF _revision[_t] = 0 THEN
          _expires[_t] := NULL;
        END IF;
        _revision[_t] := _latest + 1;
      WHEN 5 THEN
        _source[_t] := -1;
        _revision[_t] := 0;
        _deleted := true;
      WHEN 6 THEN
        IF NOT _held[_t] THEN
          _failed := 1 + 4 * _at[i];
          EXIT;
        END IF;
      END CASE;
    END LOOP;
    IF _failed = 0 THEN
      _latest := _latest + _writes[c];
    ELSE
      _status[c] := _failed;
    END IF;
  END LOOP;

  IF _latest > _base THEN
    INSERT INTO ${s}.kv (key, value, revision, expires)
      SELECT u.key, CASE WHEN u.source > 0 THEN _values[u.source] ELSE '\\xc1'::bytea || int8send(u.integer::bigint) END,
        u.revision, u.expires
      FROM unnest(_keys, _source, _integer, _revision, _expires) u(key, source, integer, revision, expires)
      WHERE u.source >= 0
      ON CONFLICT (key) DO UPDATE SET value = excluded.value, revision = excluded.revision, expires = excluded.expires;
    IF _deleted THEN
      DELETE FROM ${s}.kv k USING unnest(_keys, _source) u(key, source) WHERE k.key = u.key AND u.source = -1;
    END IF;
    IF _topics IS NOT NULL THEN
      _offsets := ${s}.append_some_1(_topics, _row_commit, _row_topic, _row_count, _row_data, _status, _now);
    END IF;${listened(names)}
  END IF;
  _offsets := ARRAY[_now, _base, _listened] || coalesce(_offsets, array_fill(NULL::bigint, ARRAY[coalesce(array_length(_topics, 1), 0)]))
    || _status::bigint[] || _sums::bigint[];
  IF _latest > _base THEN
    INSERT INTO ${s}.changes (revision, id, keys, topics, outcome, at) VALUES (_latest, _id,
      array(SELECT u.key FROM unnest(_keys, _source) u(key, source) WHERE u.source IS NOT NULL), _topics, _offsets, _now);
  END IF;
  RETURN _offsets;
END $$`;
}

/**
 * Whether commits hold that only check: one snapshot answers that, without the lock and without anything to make durable.
 * Returns the latest revision, then the positions of the key checks that fail, then those of the range checks, negated.
 */
function verifyFunction({ quoted: s }: Names): string {
  return `
CREATE FUNCTION ${s}.verify_1(_keys bytea[], _revisions float8[], _starts bytea[], _ends bytea[], _sizes int[], _digests bytea[])
RETURNS bigint[] LANGUAGE plpgsql STABLE ${byIndexAndLoop} AS $$
DECLARE
  _now bigint := ${nowMicros};
  _held boolean[];
BEGIN
  IF _starts IS NOT NULL THEN
    _held := ${s}.held_1(_starts, _ends, _sizes, _digests, NULL, NULL, NULL, _now);
  END IF;
  RETURN ARRAY[coalesce((SELECT revision FROM ${s}.changes ORDER BY revision DESC LIMIT 1), 0)]
    || array(
      SELECT u.i FROM unnest(_keys, _revisions) WITH ORDINALITY u(key, revision, i)
      LEFT JOIN LATERAL (
        SELECT k.revision FROM ${s}.kv k WHERE k.key = u.key AND (k.expires IS NULL OR k.expires > _now) OFFSET 0
      ) e ON true
      WHERE CASE WHEN u.revision < 0 THEN e.revision IS NULL ELSE coalesce(e.revision, 0) <> u.revision END
    )
    || array(SELECT -u.i FROM unnest(_held) WITH ORDINALITY u(held, i) WHERE NOT u.held);
END $$`;
}
