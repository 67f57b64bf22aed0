// The items of one account, in memory: what the list items API shows, newest first.

const MAX_ITEMS = 500;
const WRITABLE = { name: "string", redirect_url: "string", private: "boolean" };
const MAX_TEXT = 1000;

/** The fields that a client may write, or a text that says what is wrong with them. */
function fields(given) {
  if (given === null || typeof given !== "object") return "send an item";
  const found = {};
  for (const [name, type] of Object.entries(WRITABLE)) {
    if (given[name] === undefined) continue;
    if (typeof given[name] !== type || given[name].length > MAX_TEXT) return `${name} is no ${type}`;
    found[name] = given[name];
  }
  return found;
}

function now() {
  return new Date().toISOString().replace(/\.\d+/, "");
}

exports.Items = class Items {
  /** `changed(event, item)` is told of each change: `create`, `update` or `delete`. */
  constructor(base, changed) {
    this.base = base;
    this.changed = changed;
    this.items = new Map();
    this.next = 4257111;
  }

  list() {
    return [...this.items.values()].reverse();
  }

  get(id) {
    return this.items.get(id);
  }

  create(given) {
    const found = fields(given);
    if (typeof found === "string") return found;
    if (!found.name) return "name is missing";
    if (this.items.size >= MAX_ITEMS) return `there are ${MAX_ITEMS} items: delete some`;
    const id = String(this.next++);
    const item = {
      href: `${this.base}/items/${id}`,
      name: found.name,
      private: found.private ?? true,
      subscribed: false,
      url: `${this.base}/${Number(id).toString(36)}`,
      content_url: `${this.base}/${Number(id).toString(36)}`,
      item_type: "bookmark",
      view_counter: 0,
      icon: `${this.base}/images/new/item-types/bookmark.png`,
      remote_url: null,
      redirect_url: found.redirect_url ?? null,
      source: "Pogo example",
      created_at: now(),
      updated_at: now(),
      deleted_at: null,
    };
    this.items.set(id, item);
    this.changed("create", item);
    return item;
  }

  update(id, given) {
    const found = fields(given);
    if (typeof found === "string") return found;
    const item = { ...this.items.get(id), ...found, updated_at: now() };
    this.items.set(id, item);
    this.changed("update", item);
    return item;
  }

  delete(id) {
    const item = { ...this.items.get(id), deleted_at: now() };
    this.items.delete(id);
    this.changed("delete", item);
    return item;
  }
};
