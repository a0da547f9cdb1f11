import { invalidArgument, refuseUnknown } from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import { Capture } from "./capture.ts";
import type {
  ChangeFeed,
  ChangeFeedOptions,
  FeedChange,
  FollowHandler,
  FollowOptions,
  ReadFeedOptions,
  Running,
} from "./contract.ts";
import { follow } from "./following.ts";
import { changesTopic, keys, scopeOf } from "./layout.ts";
import { runAsLeader } from "./leading.ts";
import { checkName, type Settings, toFollowSettings, toFrom, toSettings } from "./options.ts";
import { readFeed } from "./reading.ts";

/**
 * The feed of this name in the namespace of the engine. Something captures only where `run` is called; reading and following need nobody's leave.
 * @param name 1 to 200 characters
 * @throws InvalidArgumentError an option is wrong
 */
export function createChangeFeed<V = unknown>(engine: Engine, name: string, options: ChangeFeedOptions): ChangeFeed<V> {
  checkName(name);
  return new EngineChangeFeed<V>(engine, name, toSettings(options));
}

class EngineChangeFeed<V> implements ChangeFeed<V> {
  readonly name: string;
  readonly #engine: Engine;
  readonly #scope: Engine;
  readonly #settings: Settings;

  constructor(engine: Engine, name: string, settings: Settings) {
    this.name = name;
    this.#engine = engine;
    this.#scope = scopeOf(engine, name);
    this.#settings = settings;
  }

  run(options: { readonly signal?: AbortSignal } = {}): Running {
    refuseUnknown(options, ["signal"]);
    const capture = new Capture(this.#engine, this.#scope, this.name, this.#settings);
    return runAsLeader({
      scope: this.#scope,
      office: "capture",
      ttl: this.#settings.ttl,
      signal: options.signal,
      work: (leadership, signal) => capture.lead(leadership, signal),
    });
  }

  read(options: ReadFeedOptions = {}): AsyncIterableIterator<FeedChange<V>> {
    refuseUnknown(options, ["from", "untilNow", "signal"]);
    const from = options.from === undefined ? undefined : toFrom(options.from);
    return readFeed<V>(this.#scope, { ...options, from });
  }

  follow(name: string, handler: FollowHandler<V>, options: FollowOptions = {}): Running {
    checkName(name);
    if (typeof handler !== "function") throw invalidArgument("handler", handler, "a function");
    const settings = toFollowSettings(options);
    const [engine, scope, feed] = [this.#engine, this.#scope, this.name];
    return runAsLeader({
      scope,
      office: `follow ${name}`,
      ttl: this.#settings.ttl,
      signal: settings.signal,
      work: (leadership, signal) => follow<V>({ engine, scope, feed, name, handler, settings }, leadership, signal),
    });
  }

  async position(name: string, options: { readonly signal?: AbortSignal } = {}): Promise<number | undefined> {
    checkName(name);
    return (await this.#scope.kv.get<number>(keys.position(name), options))?.value;
  }

  async bounds(
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<{ readonly first: number; readonly next: number }> {
    return await this.#scope.log.bounds(changesTopic, options);
  }

  async forget(name: string): Promise<void> {
    checkName(name);
    await this.#scope.kv.delete(keys.position(name));
  }
}
