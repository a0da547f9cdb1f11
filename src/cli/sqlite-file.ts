/** The file that a URL such as `sqlite:./data.db` names. */
export function fileOf(url: string): string {
  return decodeURIComponent(url.replace(/^sqlite:(\/\/)?/i, ""));
}
