// An id for a picture from its bytes alone, so that the same picture is the same item however often it is put.

/**
 * 16 hexadecimal digits. No cryptographic hash (a page from plain HTTP is given none), and none is needed: who could
 * make two pictures meet may write whatever item he likes.
 */
export async function contentId(blob) {
  let [one, other] = [0xdeadbeef, 0x41c6ce57];
  for (const byte of new Uint8Array(await blob.arrayBuffer())) {
    one = Math.imul(one ^ byte, 0x9e3779b1);
    other = Math.imul(other ^ byte, 0x5f356495);
  }
  // Each half takes from the other's upper bits: those depend on all bits of the bytes, the lower ones do not.
  one = Math.imul(one ^ (one >>> 16), 0x85ebca6b) ^ Math.imul(other ^ (other >>> 13), 0xc2b2ae35);
  other = Math.imul(other ^ (other >>> 16), 0x85ebca6b) ^ Math.imul(one ^ (one >>> 13), 0xc2b2ae35);
  return [one, other].map((half) => (half >>> 0).toString(16).padStart(8, "0")).join("");
}
