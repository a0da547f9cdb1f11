import type { VirtualFs } from "../../src/simulation/index.ts";

/** Replaces a file in the root directory so that after a crash it is the old one or the new one, and once this has resolved the new one. */
export async function replaceFile(disk: VirtualFs, path: string, content: string | Uint8Array): Promise<void> {
  await disk.writeFile(`${path}.new`, content, { flush: true });
  await disk.rename(`${path}.new`, path);
  await syncRoot(disk);
}

/** Makes the names in the root directory durable. */
export async function syncRoot(disk: VirtualFs): Promise<void> {
  await using root = await disk.open("/", "r");
  await root.sync();
}
