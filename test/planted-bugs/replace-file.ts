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

/**
 * What the file holds after a crash, durably from now on: a process that died may have left it in the page cache alone, after a sync
 * that failed. `undefined` if there is none.
 */
export async function recoverFile(disk: VirtualFs, path: string): Promise<string | undefined> {
  try {
    const content = await disk.readFile(path, "utf8");
    await replaceFile(disk, path, content);
    return content;
  } catch (error) {
    if ((error as { code?: unknown }).code === "ENOENT") return undefined;
    throw error;
  }
}
