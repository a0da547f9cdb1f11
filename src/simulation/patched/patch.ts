/** Replaces a property of an object that others hold, such as a module's or the global one. */
export function replace(target: object, name: PropertyKey, value: unknown): void {
  const enumerable = Object.getOwnPropertyDescriptor(target, name)?.enumerable ?? true;
  Object.defineProperty(target, name, { value, writable: true, configurable: true, enumerable });
}

/** Keeps the name that code and stack traces show. */
export function named<F extends (...args: never[]) => unknown>(name: string, fn: F): F {
  return Object.defineProperty(fn, "name", { value: name, configurable: true });
}
