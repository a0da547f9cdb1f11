import type { ChangeSink, Driver, RawChange, RawFeed } from "../../engine/index.ts";
import type { FaultSite } from "../fault-plan.ts";
import type { Incarnation } from "../incarnation.ts";
import type { EngineWay } from "./engine-way.ts";

export interface SimulatedDriverOptions {
  /** A connection at the server. */
  readonly driver: Driver;
  readonly way: EngineWay;
  readonly client: Incarnation;
  readonly watchReset: FaultSite;
}

/** The server's driver as a client meets it: far away, and over a bad connection. */
export function createSimulatedDriver(options: SimulatedDriverOptions): Driver {
  const { driver, way } = options;
  const { log, bus } = driver;
  const read = <T>(effect: () => T | Promise<T>): Promise<T> => way.call("read", effect);
  const write = <T>(effect: () => T | Promise<T>): Promise<T> => way.call("commit", effect);
  return {
    name: driver.name,
    guarantees: { ...driver.guarantees, unknownOutcomes: "possible", sharing: "network", clock: "server" },
    limits: driver.limits,
    flush: { commits: 64, bytes: 1024 * 1024, inFlight: 1, immediate: false },
    getMany: (keys, how) => read(() => driver.getMany(keys, how)),
    list: (range, how) => read(() => driver.list(range, how)),
    commitMany: (commits) => write(() => driver.commitMany(commits)),
    sweep: (limit) => write(() => driver.sweep(limit)),
    now: () => read(() => driver.now()),
    revision: () => read(() => driver.revision()),
    watch: (sink) => openFeed(sink, options),
    ...(log && {
      log: {
        read: (topic, how) => read(() => log.read(topic, how)),
        bounds: (topic) => read(() => log.bounds(topic)),
        trim: (topic, before) => write(() => log.trim(topic, before)),
      },
    }),
    ...(bus && {
      bus: {
        publish: (subject, payload) => write(() => bus.publish(subject, payload)),
        subscribe: (deliver) => subscribe(deliver, options),
      },
    }),
    close: async () => {},
  };
}

/** Messages that come while the way is cut are lost. */
async function subscribe(
  deliver: (subject: Uint8Array, payload: Uint8Array) => void,
  { driver, way, client }: SimulatedDriverOptions,
): Promise<{ close(): Promise<void> }> {
  const channel = { tail: 0 };
  const subscription = await way.call("read", async () => {
    const opened = await driver.bus?.subscribe((subject, payload) => {
      if (client.alive && !way.cutBack) way.deliver(channel, () => deliver(subject, payload));
    });
    client.onDeath(() => void opened?.close());
    return opened;
  });
  return { close: async () => subscription?.close() };
}

/**
 * A feed whose reports arrive later, in order. Where the way is cut, or the fault strikes, the connection is lost: what happens until it is
 * there again is not reported, and the sink hears that its place is lost.
 */
async function openFeed(
  sink: ChangeSink,
  { driver, way, client, watchReset }: SimulatedDriverOptions,
): Promise<RawFeed> {
  const channel = { tail: 0 };
  let connected = true;
  let closed = false;

  const report = (changes: readonly RawChange[], topics: readonly Uint8Array[], position: number): void => {
    if (!client.alive || closed || !connected) return;
    if (way.cutBack || watchReset.strikes()) lose();
    else way.deliver(channel, () => closed || sink.changed(changes, topics, position));
  };

  const lose = (): void => {
    if (!connected) return;
    connected = false;
    way.deliver(channel, connect);
  };

  const connect = (): void => {
    if (closed) return;
    const again = async (): Promise<void> => {
      const revision = await driver.revision();
      connected = true;
      way.deliver(channel, () => closed || sink.reset());
      way.deliver(channel, () => closed || sink.changed([], [], revision));
    };
    way.call("read", again).catch(connect);
  };

  const feed = await way.call("read", async () => {
    const opened = await driver.watch({
      wants: (key) => client.alive && !closed && sink.wants(key),
      changed: report,
      reset: () => way.deliver(channel, () => closed || sink.reset()),
      failed: (error) => way.deliver(channel, () => sink.failed(error)),
    });
    client.onDeath(() => void opened.close());
    return opened;
  });
  return {
    start: feed.start,
    refresh: () => {
      way.call("read", async () => report([], [], await driver.revision())).catch(lose);
    },
    close: async () => {
      closed = true;
      await feed.close();
    },
  };
}
