// Numbers and names as the page writes them.

export const plural = (count, noun, nouns = `${noun}s`) =>
  `${count.toLocaleString("en")} ${count === 1 ? noun : nouns}`;

/** 100 % only where it is: what is merely very likely is over 99 %. */
const percent = (share) =>
  share < 1 && share >= 0.995 ? "over 99\u00a0%" : `${Math.round(share * 100)}\u00a0%`;
const plain = (share) => share.toFixed(2);

/** A confidence in words: a percentage only where it was calibrated, so that a share of a vote never looks like one. */
export const confidenceText = (share, calibrated) => (calibrated ? percent(share) : plain(share));

/** A part of a whole, such as of what the regions settle: no probability, and not to be taken for one. */
export const shareText = plain;

/** The name of a match: its finest label, or its id where it has none. */
export const nameOf = (match) => Object.values(match.labels)[0] || match.id;
