// The last questions of this browser, in its own database: never sent anywhere, few, and small.

const NAME = "lodisc-history";
const STORE = "questions";
export const MAX_QUESTIONS = 12;

/** A request of IndexedDB as a promise. */
const done = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

async function store(mode) {
  const opening = indexedDB.open(NAME, 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore(STORE, { keyPath: "id", autoIncrement: true });
  const database = await done(opening);
  const transaction = database.transaction(STORE, mode);
  transaction.oncomplete = transaction.onabort = () => database.close();
  return transaction.objectStore(STORE);
}

/** All that is kept, the latest first. */
export async function keptQuestions() {
  return (await done((await store("readonly")).getAll())).reverse();
}

/** Keep a question, in place of the one with its `id` if it has one, and let go of the oldest beyond the bound. */
export async function keepQuestion(question) {
  const questions = await store("readwrite");
  const id = await done(questions.put(question));
  const ids = await done(questions.getAllKeys());
  for (const old of ids.slice(0, -MAX_QUESTIONS)) questions.delete(old);
  return id;
}

export async function clearQuestions() {
  await done((await store("readwrite")).clear());
}
