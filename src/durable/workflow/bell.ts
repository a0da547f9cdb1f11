/** Wakes one who waits; rung before, it wakes at once. */
export class Bell {
  #isRung = false;
  #wake: (() => void) | undefined;

  get isRung(): boolean {
    return this.#isRung;
  }

  ring(): void {
    this.#isRung = true;
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }

  async rung(): Promise<void> {
    if (!this.#isRung)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    this.#isRung = false;
  }
}
