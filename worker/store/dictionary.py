"""What specs and Celery requests often say, for `packing.py` to point to instead of keeping it again.

For ever: what was packed with it can be read with nothing else. Other words need a mark of their own.
The most frequent stand last, where they cost least.
"""

from __future__ import annotations

_PROMPTS = """
ancient futuristic abstract anime watercolor oil painting hand-drawn stop-motion claymation documentary commercial
product bottle glass cup plate kitchen restaurant office desk phone screen computer robot spaceship planet engine
temple castle village harbour ship island desert canyon waterfall garden park market station airport bicycle bus
baby mother father friend couple crowd dancer singer chef soldier king queen wizard dragon horse lion tiger wolf bear
whale fish butterfly puppy kitten corgi laughing crying singing dancing jumping flying swimming falling rising
glowing sparkling floating drifting melting exploding burning spinning rotating blooming growing shining
slowly quickly gently suddenly softly quietly smoothly gradually naturally carefully
camera shot close-up wide medium aerial drone tracking dolly pan tilt zoom orbit handheld pulls pushes moves drifts
follows starts begins ends holds opens reveals fades enters leaves turns looks walks runs stands sits
frame frames lens 24 mm 35 mm 50 mm 85 mm 4K 8K shallow depth of field focus bokeh film grain look cinematic
realistic photorealistic style mood lighting light natural golden hour sunset sunrise morning evening night dusk dawn
warm cold soft bright dark muted colors colours teal orange yellow purple blue green red white black gold silver
background foreground sky clouds sun moon stars rain snow fog mist wind fire smoke dust water sea ocean waves beach
shore river lake mountain mountains hills forest tree trees grass field flowers leaves city street road bridge
buildings window windows house roof room table chair door wall floor light shadows reflections
people man woman girl boy child old young person face eyes hair hand hands feet body smile expression
walking running standing sitting looking turning holding wearing dress coat hat shirt dog cat bird car train boat
sound music voice voices footsteps silence ambient movement motion steady static slow-motion seconds second loop
video scene detail details detailed texture textures high quality ultra sharp smooth subtle
no text no logo no watermark avoid blurry distorted deformed extra fingers low quality
through around across toward towards behind before after between against above below beside near into over under
while until away back again left right up down out off one two three a few some many every other
his her its their this that then there where which who is are was has have not but by for from on at to in an as it
with a and the of the
"""

_DOCUMENTS = (
    '{"amount":"errbacks":[{"task":"args":[],"kwargs":{},"options":{"task_id":"queue":"reply_to":"subtask_type":null,'
    '"immutable":false,"chord_size":"callbacks":[{"task":"chain":[{"task":"group":"group_index":"parent_id":"root_id":'
    '{"hostname":"callsheet","delivery_info":{"exchange":"","routing_key":"callsheet","priority":0,"redelivered":true}'
    '{"hostname":"worker@","delivery_info":{"exchange":"","routing_key":"callsheet","priority":0,"redelivered":false},'
    '"started_at":17'
    '{"aspect_ratio":"16:9","aspect_ratio":"9:16","aspect_ratio":"1:1","duration":10,"duration":5,"first_frame":"s3://'
    '","last_frame":"https://","metadata":{"user_id":"model":"kling-3.0","negative_prompt":"notify_url":"https://www.'
    '.example.com/.png.jpg","resolution":"1080p","resolution":"720p","shots":[{"prompt":"","seconds":"sound":true,'
    '"watermark":false,"provider":"gmicloud"}","provider":"apimart"}","provider":"evolink"}"first_frame":"https://'
    '"model":"kling-v3-turbo-image-to-video","prompt":"model":"kling-3.0-turbo-t2v","prompt":"'
    '{"duration":5,"model":"kling-3.0-turbo","prompt":"'
)

WORDS = (" ".join(_PROMPTS.split()) + " " + _DOCUMENTS).encode()
