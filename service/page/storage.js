// What the browser keeps for the page, by name. Where it keeps nothing (blocked, or full), the page does until it is
// left.

function keeping(storage) {
  const memory = new Map(); // of what the browser did not keep
  const attempt = (use) => {
    try {
      return use(window[storage]); // the mere look at it throws where it is blocked
    } catch {
      return null;
    }
  };
  return {
    /** Null where nothing is kept under the name. */
    get: (name) => memory.get(name) ?? attempt((kept) => kept.getItem(name)),
    set(name, value) {
      memory.set(name, value);
      attempt((kept) => {
        kept.setItem(name, value);
        memory.delete(name);
      });
    },
    remove(name) {
      memory.delete(name);
      attempt((kept) => kept.removeItem(name));
    },
  };
}

export const ofThisTab = keeping("sessionStorage");
export const ofThisBrowser = keeping("localStorage");
