"""Django's channels by their two layers for Redis, unmodified, doing a chat's work: channels_rooms.py PORT DATABASE

One keeps what is said in sorted sets until it is heard, by scripts; the other is PUBLISH and SUBSCRIBE."""
import asyncio
import sys

import redis
from channels.exceptions import ChannelFull
from channels_redis.core import RedisChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer

from check import check, finish

place = 'redis://127.0.0.1:%s/%s' % tuple(sys.argv[1:3])
notes = redis.Redis.from_url(place)
LONG = 60  # seconds: an answer ends it, or else the runner


async def hear(layer, channel, count=1):
    return [(await asyncio.wait_for(layer.receive(channel), LONG))['text'] for _ in range(count)]


async def until_subscribed(count):
    """The layer goes on before its SUBSCRIBE is answered, and publishes on another connection: which of the two comes first is open."""
    while len(notes.pubsub_channels()) < count:
        await asyncio.sleep(0.001)


async def rooms(name, layer, subscribes=0):
    """Two guests of one room; one leaves it. subscribes: to so many channels, for both and the room."""
    said = [str(i) for i in range(50)]
    first, second = await layer.new_channel(), await layer.new_channel()
    for guest in first, second:
        await layer.group_add('room', guest)
    await until_subscribed(subscribes)
    for text in said:
        await layer.group_send('room', {'type': 'say', 'text': text})
    heard = [await hear(layer, first, len(said)), await hear(layer, second, len(said))]
    check('%s: who is in a room hears all that is said there, in its order' % name, heard == [said, said])
    await layer.group_discard('room', second)
    await layer.group_send('room', {'type': 'say', 'text': 'to who stays'})
    await layer.send(second, {'type': 'say', 'text': 'to who left'})
    heard = [await hear(layer, first), await hear(layer, second)]
    check('%s: who has left a room hears only what is said to him' % name, heard == [['to who stays'], ['to who left']])
    notes.rpush('heard', *(name + ' ' + text for text in said + sum(heard, [])))


async def main():
    core, pubsub = RedisChannelLayer(hosts=[place], capacity=100), RedisPubSubChannelLayer(hosts=[place])
    await rooms('core', core)
    small = RedisChannelLayer(hosts=[place], prefix='small', capacity=3)
    for i in range(3):
        await small.send('hall', {'type': 'say', 'text': str(i)})
    try:
        await small.send('hall', {'type': 'say', 'text': 'one too many'})
        is_full = False
    except ChannelFull:
        is_full = True
    check('core: a channel that is full says so', is_full)
    check('core: what it holds is still heard', await hear(small, 'hall', 3) == ['0', '1', '2'])
    await rooms('pubsub', pubsub, 3)
    for layer in core, small, pubsub:
        await layer.flush()


asyncio.run(main())
finish()
