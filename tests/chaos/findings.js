// What a checker finds: counts, and sentences about what must not be. Of each kind the first few are told, all are counted.
const toldMax = 8;

export class Findings {
  constructor(counts) {
    this.counts = { ...counts };
    this.kinds = new Map();
  }

  count(name, by = 1) {
    this.counts[name] += by;
  }

  fault(kind, sentence) {
    const list = this.kinds.get(kind) ?? { count: 0, sentences: [] };
    list.count++;
    if (list.sentences.length < toldMax) list.sentences.push(sentence);
    this.kinds.set(kind, list);
    if (kind in this.counts) this.counts[kind]++;
  }

  get faults() {
    return [...this.kinds.values()].reduce((sum, list) => sum + list.count, 0);
  }

  has(kind) {
    return this.kinds.has(kind);
  }

  /** Lines for people; none if all is well. */
  report() {
    return [...this.kinds].flatMap(([kind, list]) => [`${kind}: ${list.count}`, ...list.sentences.map((s) => `  ${s}`)]);
  }
}
