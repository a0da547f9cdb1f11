import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { isAshlarError } from "../../core/index.ts";
import { createManualRuntime } from "../../core/testing/manual-runtime.ts";
import { signWebhook, type VerifyOptions, verifyWebhook, type WebhookRefusal } from "./index.ts";

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const sent = 1_614_265_330_000;
const body = '{"test": 2432232314}';
const at = (ms: number) => ({ runtime: createManualRuntime(ms) });
const signed = signWebhook({ id: "msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp: sent, body }, secret);
const because = (reason: WebhookRefusal) => (error: unknown) =>
  isAshlarError(error, "UNVERIFIED") && error.details["reason"] === reason;

test("the example of the specification's reference libraries has its signature", () => {
  assert.deepEqual(signed, {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
  });
  assert.deepEqual(verifyWebhook({ headers: signed, body }, { secret, ...at(sent) }), {
    id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
    timestamp: sent,
  });
});

test("headers of fetch and of Node, in any case, and bodies of bytes are understood", () => {
  const ok = (headers: Headers | Record<string, string>) =>
    verifyWebhook({ headers, body: Buffer.from(body) }, { secret, ...at(sent) });
  ok(new Headers({ ...signed }));
  ok(Object.fromEntries(Object.entries(signed).map(([name, value]) => [name.toUpperCase(), value])));
});

test("whatever is changed, the signature no longer fits", () => {
  const refuse = (request: { headers: Record<string, string>; body: string }, options: Partial<VerifyOptions> = {}) =>
    assert.throws(() => verifyWebhook(request, { secret, ...at(sent), ...options }), because("signature"));
  refuse({ headers: { ...signed }, body: `${body} ` });
  refuse({ headers: { ...signed, "webhook-id": "msg_other" }, body });
  refuse({ headers: { ...signed, "webhook-timestamp": "1614265331" }, body });
  refuse({ headers: { ...signed }, body }, { secret: Buffer.alloc(24) });
  const [, value = ""] = signed["webhook-signature"].split(",");
  for (const signature of [
    value,
    `v2,${value}`,
    `v1a,${value}`,
    "v1,",
    `v1,${value.slice(1)}`,
    "v1,AAAA",
    `V1,${value}`,
  ])
    refuse({ headers: { ...signed, "webhook-signature": signature }, body });
});

test("any body is verified, and no other in its place", () => {
  const key = Buffer.alloc(32, 7);
  fc.assert(
    fc.property(fc.uint8Array(), fc.uint8Array(), (one, two) => {
      const headers = signWebhook({ id: "m", timestamp: sent, body: one }, key);
      const expected = createHmac("sha256", key)
        .update(`m.${sent / 1000}.`)
        .update(one)
        .digest("base64");
      assert.equal(headers["webhook-signature"], `v1,${expected}`);
      const verify = (given: Uint8Array) =>
        verifyWebhook({ headers: { ...headers }, body: given }, { secret: key, ...at(sent) });
      assert.equal(verify(one).id, "m");
      if (Buffer.compare(one, two) !== 0) assert.throws(() => verify(two), because("signature"));
    }),
  );
});

test("while a secret is being replaced, one that fits is enough, on either side", () => {
  const next = `whsec_${Buffer.alloc(32, 1).toString("base64")}`;
  const both = signWebhook({ id: "m", timestamp: sent, body }, [secret, next]);
  assert.equal(both["webhook-signature"].split(" ").length, 2);
  for (const each of [secret, next, next.slice(6), [Buffer.alloc(24, 9), next]])
    verifyWebhook({ headers: { ...both }, body }, { secret: each, ...at(sent) });
  verifyWebhook({ headers: { ...signed }, body }, { secret: [next, secret], ...at(sent) });
  const mixed = { ...signed, "webhook-signature": `v1a,abc ${signed["webhook-signature"]}` };
  verifyWebhook({ headers: mixed, body }, { secret, ...at(sent) });
});

test("what was sent too long ago, or in the future, is refused", () => {
  const verify = (now: number, tolerance?: VerifyOptions["tolerance"]) =>
    verifyWebhook(
      { headers: { ...signed }, body },
      { secret, ...at(now), ...(tolerance !== undefined && { tolerance }) },
    );
  for (const now of [sent, sent + 300_000, sent - 300_000]) verify(now);
  assert.throws(() => verify(sent + 301_001), because("too-old"));
  assert.throws(() => verify(sent - 300_001), because("too-new"));
  verify(sent + 3_600_000, "1h");
  assert.throws(() => verify(sent + 2000, "500ms"), because("too-old"));
});

test("headers that are missing, repeated or no numbers are refused", () => {
  const refuse = (headers: Record<string, string | string[] | undefined>, reason: WebhookRefusal) =>
    assert.throws(() => verifyWebhook({ headers, body }, { secret, ...at(sent) }), because(reason));
  for (const name of Object.keys(signed)) {
    refuse({ ...signed, [name]: undefined }, "missing");
    refuse({ ...signed, [name]: "" }, "missing");
    refuse({ ...signed, [name]: ["a", "b"] }, "malformed");
  }
  for (const time of ["1e9", "-1", "now", "1614265330.5", "9".repeat(12)])
    refuse({ ...signed, "webhook-timestamp": time }, "malformed");
  refuse({ ...signed, "webhook-signature": "v1,AAAA ".repeat(40) }, "malformed");
});

test("secrets, ids and bodies that cannot be right are refused as mistakes, and secrets are not shown", () => {
  const verify =
    (options: object, given: unknown = body) =>
    () =>
      verifyWebhook({ headers: { ...signed }, body: given as string }, { secret, ...at(sent), ...options });
  const invalid = (message: RegExp) => (error: unknown) =>
    isAshlarError(error, "INVALID_ARGUMENT") && message.test(error.message) && !/c2hvcnQ|hunter/.test(error.message);
  for (const bad of [
    "",
    "whsec_",
    "whsec_c2hvcnQ=",
    "hunter2 hunter2 hunter2 hunter2 hunter2",
    [],
    undefined,
    Buffer.alloc(23),
    Buffer.alloc(65),
  ])
    assert.throws(verify({ secret: bad }), invalid(/^secret:/));
  assert.throws(verify({ tolerance: "soon" }), invalid(/^tolerance:/));
  assert.throws(verify({ tolerence: "5m" }), invalid(/tolerence/));
  assert.throws(verify({}, { test: 1 }), invalid(/^body:/));
  for (const id of ["", "a.b", "a b", "ü", "x".repeat(501)])
    assert.throws(() => signWebhook({ id, timestamp: sent, body }, secret), invalid(/^id:/));
  assert.throws(() => signWebhook({ id: "m", timestamp: Number.NaN, body }, secret), invalid(/^timestamp:/));
});
