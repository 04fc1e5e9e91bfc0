// Connections and rooms, of the whole fleet or of one gateway.
import { get, post, resultOf } from './api.js';
import { $, button, confirm, make, row, tag, time, toast } from './dom.js';
import { pages } from './pages.js';

const states = { live: 'good', slow: 'bad' };

export function makeLists(failed) {
  async function kick(user) {
    const reason = await confirm({
      title: `Kick ${user}?`,
      text: `Closes every connection of ${user}, on all gateways. Chat clients do not come back by themselves; event streams do.`,
      yes: 'Kick',
      label: 'Why (for the audit)',
    });
    if (reason === null) return;
    try {
      resultOf(await post('kick', { userId: user, ...(reason && { reason }) }));
      toast(`All gateways were told to close the connections of ${user}.`);
      setTimeout(connections.again, 300);
    } catch (error) {
      failed(error);
    }
  }

  const connections = pages($('connections'), {
    load: (filters, after) => get('connections', { ...filters, after }),
    failed,
    rowOf: (c) => row([
      ['User', c.user],
      ['Transport', c.transport === 'sse' ? 'event stream' : c.transport],
      ['State', tag(c.state, states[c.state] ?? 'warn')],
      ['Rooms', c.rooms, 'num'],
      ['Since', time(c.since), 'time'],
      ['Address', make('code', '', c.address)],
      ['Gateway', c.gateway],
      ['', button('Kick', 'small danger', () => kick(c.user)), 'act'],
    ]),
  });

  const rooms = pages($('rooms'), {
    load: ({ list, ...filters }, after) => get(list, { ...filters, after }),
    failed,
    rowOf: (r) => row([
      ['Room', r.name],
      ['Connections in it', r.members, 'num'],
      ['On gateways', r.gateways, 'num'],
    ]),
  });
  return { connections, rooms };
}
