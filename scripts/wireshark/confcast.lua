-- Dissector of the confcast protocol, docs/wire-format.md, for Wireshark and tshark:
--
--   tshark -X lua_script:scripts/wireshark/confcast.lua -i eth0 -Y confcast
--
-- or copied into the personal plugin folder.  It takes UDP port 7500 (a preference), and datagrams of
-- other ports that begin with magic, version and their own size.  It shows what stands in a frame and
-- checks no digest, signature or MAC.  What does not fit its frame is marked as malformed.

local confcast = Proto("confcast", "confcast")

local types = {
    [1] = "HEAD", [2] = "CONTENT", [3] = "PAGE", [4] = "SYMBOL", [5] = "FRESH", [6] = "STATUS", [7] = "WELCOME", [8] = "GONE",
    [16] = "HELLO", [17] = "REPORT", [18] = "NACK",
    [137] = "ADVICE", [147] = "LOSS",
}
local kinds = {[0] = "normal", [1] = "rollback", [2] = "disabled", [3] = "deleted"}
local activations = {[0] = "now", [1] = "hold", [2] = "at"}
local selectors = {[0] = "all", [1] = "cohort", [2] = "label"}
local encodings = {[0] = "raw", [1] = "zstd", [2] = "zstd delta"}
local codes = {[0] = "none", [1] = "RS-Cauchy"}
local wants = {[1] = "HEAD", [2] = "CONTENT", [3] = "PAGE", [4] = "SYMBOLS", [5] = "FRESH"}
local welcomes = {[0] = "CHALLENGE", [1] = "ACCEPT", [2] = "REFUSE"}
local advices = {[1] = "pull"}
local states = {
    [0] = "none", [1] = "receiving", [2] = "prepared", [3] = "applied", [4] = "rejected", [5] = "reverted", [6] = "degraded",
}
local tlvs = {[1] = "inline content", [2] = "head proof", [3] = "holds", [4] = "padding", [5] = "inline delta"}

local f = {}

local function field(name, make, text, ...)
    f[name] = make("confcast." .. name, text, ...)
end

field("advice", ProtoField.uint8, "Advice", base.DEC, advices)
field("hold_s", ProtoField.uint32, "Holds for, s")
field("advice_seq", ProtoField.uint64, "Advice sequence")
field("expected", ProtoField.uint32, "Symbols that counted")
field("lost", ProtoField.uint32, "Symbols lost")
field("loss", ProtoField.uint16, "Loss, in 1/65536")
field("loss_windows", ProtoField.uint8, "Windows")
field("loss_flags", ProtoField.uint32, "Flags", base.HEX)
field("magic", ProtoField.uint16, "Magic", base.HEX)
field("version", ProtoField.uint8, "Protocol version")
field("type", ProtoField.uint8, "Type", base.DEC, types)
field("size", ProtoField.uint16, "Size")
field("flags", ProtoField.uint16, "Flags", base.HEX)
field("key", ProtoField.uint64, "Key", base.HEX)
field("scope_id", ProtoField.uint64, "Scope id", base.HEX)
field("content_key", ProtoField.uint64, "Content key", base.HEX)
field("consumer_key", ProtoField.uint64, "Consumer key", base.HEX)
field("boot_id", ProtoField.uint64, "Boot id", base.HEX)
field("shard", ProtoField.uint32, "Shard")
field("reserved", ProtoField.bytes, "Reserved")
field("signed_size", ProtoField.uint16, "Signed size")
field("signature", ProtoField.bytes, "Signature (Ed25519)")
field("key_id", ProtoField.bytes, "Key id")
field("scope", ProtoField.string, "Scope")
field("kind", ProtoField.uint8, "Kind", base.DEC, kinds)
field("activation", ProtoField.uint8, "Activation", base.DEC, activations)
field("arm_count", ProtoField.uint8, "Arms")
field("epoch", ProtoField.uint64, "Epoch")
field("head_version", ProtoField.uint64, "Version")
field("issued", ProtoField.absolute_time, "Issued")
field("not_after", ProtoField.absolute_time, "Not after")
field("activate_at", ProtoField.absolute_time, "Activate at")
field("confirm_by", ProtoField.absolute_time, "Confirm by")
field("salt", ProtoField.uint64, "Rollout salt", base.HEX)
field("selector", ProtoField.uint8, "Selector", base.DEC, selectors)
field("threshold", ProtoField.uint32, "Threshold")
field("content_id", ProtoField.bytes, "Content id")
field("fallback_id", ProtoField.bytes, "Fallback content id")
field("base_id", ProtoField.bytes, "Base content id")
field("label_key", ProtoField.string, "Label key")
field("label_value", ProtoField.string, "Label value")
field("tlv_type", ProtoField.uint16, "TLV", base.DEC, tlvs)
field("tlv_critical", ProtoField.bool, "Critical")
field("tlv_size", ProtoField.uint16, "Size")
field("tlv_value", ProtoField.bytes, "Value")
field("inline_arm", ProtoField.uint8, "Arm")
field("body_size", ProtoField.uint64, "Body size")
field("coding", ProtoField.uint16, "Coding")
field("encoding", ProtoField.uint8, "Encoding", base.DEC, encodings)
field("fec_code", ProtoField.uint8, "FEC code", base.DEC, codes)
field("fec_k", ProtoField.uint8, "Source symbols of a block")
field("repair_leaves", ProtoField.uint8, "Repair leaves of a block")
field("coded_size", ProtoField.uint64, "Coded size")
field("symbol_size", ProtoField.uint16, "Symbol size")
field("page_levels", ProtoField.uint8, "Page levels")
field("digest_count", ProtoField.uint8, "Digests")
field("digest", ProtoField.bytes, "Digest")
field("level", ProtoField.uint8, "Level")
field("page", ProtoField.uint32, "Page")
field("block", ProtoField.uint32, "Block")
field("symbol", ProtoField.uint16, "Symbol")
field("data", ProtoField.bytes, "Symbol bytes")
field("sequence", ProtoField.uint64, "Sequence")
field("time", ProtoField.absolute_time, "Time")
field("fleet_size", ProtoField.uint32, "Fleet size")
field("scope_count", ProtoField.uint32, "Scopes")
field("root", ProtoField.bytes, "Merkle root")
field("page_count", ProtoField.uint32, "Pages")
field("proof_count", ProtoField.uint8, "Proof digests")
field("entry_count", ProtoField.uint16, "Entries")
field("incarnation", ProtoField.uint64, "Incarnation")
field("nonce", ProtoField.bytes, "Nonce")
field("cookie", ProtoField.bytes, "Cookie")
field("engine_nonce", ProtoField.bytes, "Engine nonce")
field("id", ProtoField.string, "Consumer id")
field("label_count", ProtoField.uint8, "Labels")
field("mac", ProtoField.bytes, "MAC")
field("welcome", ProtoField.uint8, "Kind", base.DEC, welcomes)
field("session", ProtoField.uint32, "Session")
field("frame_seq", ProtoField.uint64, "Sequence in the session")
field("address", ProtoField.ipv6, "Address")
field("port", ProtoField.uint16, "Port")
field("error", ProtoField.uint16, "Error")
field("hello_ms", ProtoField.uint32, "HELLO window, ms")
field("nack_us", ProtoField.uint32, "NACK window, us")
field("report_ms", ProtoField.uint32, "REPORT window, ms")
field("generation", ProtoField.uint32, "Report generation")
field("report_seq", ProtoField.uint64, "Report")
field("clock_error_ns", ProtoField.int64, "Clock error, ns")
field("clock_bound_us", ProtoField.uint32, "Clock bound, us")
field("part", ProtoField.uint8, "Part")
field("part_count", ProtoField.uint8, "Parts")
field("tag", ProtoField.bytes, "End-to-end tag")
field("accepted", ProtoField.uint64, "Accepted version")
field("serving", ProtoField.uint64, "Serving version")
field("durable", ProtoField.uint64, "Durable version")
field("state", ProtoField.uint8, "State", base.DEC, states)
field("arm", ProtoField.uint8, "Arm")
field("reason", ProtoField.uint16, "Reason")
field("report_flags", ProtoField.uint32, "Flags", base.HEX)
field("want", ProtoField.uint8, "Want", base.DEC, wants)
field("index", ProtoField.uint32, "Index")
field("mask", ProtoField.uint64, "Mask", base.HEX)
field("count", ProtoField.uint16, "Symbols lacking")

local list = {}
for _, one in pairs(f) do
    list[#list + 1] = one
end
confcast.fields = list

local malformed = ProtoExpert.new("confcast.malformed", "Malformed frame", expert.group.MALFORMED, expert.severity.ERROR)
confcast.experts = {malformed}
confcast.prefs.port = Pref.uint("UDP port", 7500, "Port of groups and engines; 0: none")

-- A cursor over a frame.  Reading beyond the end raises an error, which the frame is marked with.
local Reader = {}
Reader.__index = Reader

local function reader_of(range)
    return setmetatable({range = range, at = 0}, Reader)
end

function Reader:left()
    return self.range:len() - self.at
end

function Reader:take(size)
    if size > self:left() then
        error("ends " .. (size - self:left()) .. " bytes early", 0)
    end
    local range = self.range(self.at, size)
    self.at = self.at + size
    return range
end

function Reader:number(tree, name, size)
    local range = self:take(size)
    tree:add_le(f[name], range)
    return size <= 4 and range:le_uint() or range:le_uint64()
end

function Reader:bytes(tree, name, size)
    if size > 0 then
        tree:add(f[name], self:take(size))
    end
end

function Reader:text(tree, name, size)
    if size == 0 then
        return ""
    end
    local range = self:take(size)
    tree:add(f[name], range)
    return range:string()
end

function Reader:time(tree, name)
    local range = self:take(8)
    local ns = range:le_uint64()
    tree:add(f[name], range, NSTime((ns / 1000000000):tonumber(), (ns % 1000000000):tonumber()))
end

function Reader:tlvs(tree, finish)
    while self:left() > 0 do
        local start = self.at
        local sub = tree:add(confcast, self.range(start), "TLV")
        local kind_range = self:take(2)
        local kind = kind_range:le_uint()
        sub:add(f.tlv_type, kind_range, kind % 32768)
        sub:add(f.tlv_critical, kind_range, kind >= 32768)
        local size = self:number(sub, "tlv_size", 2)
        local value = reader_of(size > 0 and self:take(size) or self.range(start, 4))
        if kind == 1 and size > 0 then
            value:number(sub, "inline_arm", 1)
            value:number(sub, "encoding", 1)
            value:bytes(sub, "reserved", 2)
            value:number(sub, "body_size", 4)
            value:bytes(sub, "data", value:left())
        elseif kind == 5 and size > 0 then
            value:number(sub, "inline_arm", 1)
            value:bytes(sub, "reserved", 3)
            value:number(sub, "body_size", 4)
            value:bytes(sub, "base_id", 32)
            value:bytes(sub, "data", value:left())
        elseif kind == 3 and size > 0 then
            while value:left() > 0 do
                value:number(sub, "content_key", 8)
            end
        elseif size > 0 then
            value:bytes(sub, "tlv_value", value:left())
        end
        sub:set_len(4 + size)
        sub:append_text(": " .. (tlvs[kind % 32768] or "unknown"))
        if finish ~= nil then
            finish(kind, size)
        end
    end
end

-- The signed part: its size, then `read` over exactly that, then the signature.
local function signed(r, tree, read)
    local start = r.at
    local size = r:number(tree, "signed_size", 2)
    if size < 2 or start + size > r.range:len() then
        error("its signed part is longer than itself", 0)
    end
    local part = reader_of(r.range(0, start + size))
    part.at = start + 2
    read(part)
    part:tlvs(tree)
    r.at = start + size
    r:bytes(tree, "signature", 64)
end

local dissect = {}

dissect[1] = function(r, tree)
    local info
    signed(r, tree, function(p)
        local scope_size = p:take(2):le_uint()
        local kind = p:number(tree, "kind", 1)
        p:number(tree, "activation", 1)
        local arms = p:number(tree, "arm_count", 1)
        p:bytes(tree, "reserved", 1)
        p:number(tree, "shard", 4)
        p:bytes(tree, "reserved", 4)
        local epoch = p:number(tree, "epoch", 8)
        local version = p:number(tree, "head_version", 8)
        p:time(tree, "issued")
        p:time(tree, "not_after")
        p:time(tree, "activate_at")
        p:time(tree, "confirm_by")
        p:number(tree, "salt", 8)
        p:bytes(tree, "key_id", 8)
        local scope = p:text(tree, "scope", scope_size)
        for i = 1, arms do
            local sub = tree:add(confcast, p.range(p.at), "Arm " .. (i - 1))
            local from = p.at
            p:number(sub, "selector", 1)
            local key_size = p:take(1):le_uint()
            local value_size = p:take(1):le_uint()
            p:bytes(sub, "reserved", 1)
            p:number(sub, "threshold", 4)
            p:bytes(sub, "content_id", 32)
            p:bytes(sub, "fallback_id", 32)
            p:text(sub, "label_key", key_size)
            p:text(sub, "label_value", value_size)
            sub:set_len(p.at - from)
        end
        info = string.format("%s version %s epoch %s, %d arm%s%s", scope, tostring(version), tostring(epoch), arms,
                             arms == 1 and "" or "s", kind ~= 0 and ", " .. (kinds[kind] or "?") or "")
    end)
    r:tlvs(tree, function(kind, size)
        info = info .. (kind == 1 and ", content of " .. size - 8 .. " bytes inside" or "")
    end)
    return info
end

dissect[2] = function(r, tree)
    local info
    signed(r, tree, function(p)
        local coding = p:number(tree, "coding", 2)
        local encoding = p:number(tree, "encoding", 1)
        p:number(tree, "fec_code", 1)
        p:number(tree, "fec_k", 1)
        p:number(tree, "repair_leaves", 1)
        local body = p:number(tree, "body_size", 8)
        local coded = p:number(tree, "coded_size", 8)
        p:number(tree, "symbol_size", 2)
        p:number(tree, "page_levels", 1)
        local tops = p:number(tree, "digest_count", 1)
        p:number(tree, "shard", 4)
        p:bytes(tree, "key_id", 8)
        p:bytes(tree, "content_id", 32)
        p:bytes(tree, "base_id", 32)
        for _ = 1, tops do
            p:bytes(tree, "digest", 16)
        end
        info = string.format("coding %d, %s, %s bytes of %s", coding, encodings[encoding] or "?", tostring(coded),
                             tostring(body))
    end)
    r:tlvs(tree)
    return info
end

dissect[3] = function(r, tree)
    local coding = r:number(tree, "coding", 2)
    local level = r:number(tree, "level", 1)
    local count = r:number(tree, "digest_count", 1)
    local page = r:number(tree, "page", 4)
    for _ = 1, count do
        r:bytes(tree, "digest", 16)
    end
    return string.format("coding %d level %d page %d", coding, level, page)
end

dissect[4] = function(r, tree)
    local coding = r:number(tree, "coding", 2)
    local symbol = r:number(tree, "symbol", 2)
    local block = r:number(tree, "block", 4)
    local size = r:left()
    if size == 0 then
        error("holds no symbol", 0)
    end
    r:bytes(tree, "data", size)
    return string.format("coding %d block %d symbol %d, %d bytes", coding, block, symbol, size)
end

dissect[5] = function(r, tree)
    local info
    signed(r, tree, function(p)
        p:bytes(tree, "reserved", 2)
        local shard = p:number(tree, "shard", 4)
        local epoch = p:number(tree, "epoch", 8)
        local sequence = p:number(tree, "sequence", 8)
        p:time(tree, "time")
        p:time(tree, "not_after")
        p:number(tree, "fleet_size", 4)
        local scopes = p:number(tree, "scope_count", 4)
        p:bytes(tree, "root", 16)
        p:bytes(tree, "key_id", 8)
        info = string.format("shard %d epoch %s sequence %s, %d scopes", shard, tostring(epoch), tostring(sequence), scopes)
    end)
    local page = r:number(tree, "page", 4)
    local pages = r:number(tree, "page_count", 4)
    local proofs = r:number(tree, "proof_count", 1)
    local entries = r:number(tree, "entry_count", 1)
    r:bytes(tree, "reserved", 2)
    for _ = 1, proofs do
        r:bytes(tree, "digest", 16)
    end
    for _ = 1, entries do
        local sub = tree:add(confcast, r.range(r.at), "Entry")
        r:number(sub, "scope_id", 8)
        r:number(sub, "head_version", 8)
        r:bytes(sub, "digest", 16)
        sub:set_len(32)
    end
    return string.format("%s, page %d of %d", info, page, pages)
end

local function windows(r, tree)
    r:number(tree, "hello_ms", 4)
    r:number(tree, "nack_us", 4)
    r:number(tree, "report_ms", 4)
end

dissect[6] = function(r, tree)
    r:time(tree, "time")
    local generation = r:number(tree, "generation", 4)
    local fleet = r:number(tree, "fleet_size", 4)
    windows(r, tree)
    local echoes = r:number(tree, "entry_count", 2)
    r:number(tree, "port", 2)
    tree:add(f.address, r:take(16))
    for _ = 1, echoes do
        local sub = tree:add(confcast, r.range(r.at), "Echo")
        r:number(sub, "consumer_key", 8)
        r:number(sub, "report_seq", 8)
        sub:set_len(16)
    end
    return string.format("fleet of %d, generation %d, %d echo%s", fleet, generation, echoes, echoes == 1 and "" or "es")
end

dissect[7] = function(r, tree)
    local kind = r:number(tree, "welcome", 1)
    r:bytes(tree, "reserved", 3)
    local session = r:number(tree, "session", 4)
    r:bytes(tree, "nonce", 16)
    r:bytes(tree, kind == 0 and "cookie" or "engine_nonce", 16)
    tree:add(f.address, r:take(16))
    r:number(tree, "port", 2)
    local refusal = r:number(tree, "error", 2)
    r:bytes(tree, "reserved", 4)
    windows(r, tree)
    r:number(tree, "generation", 4)
    r:bytes(tree, "mac", 16)
    return (welcomes[kind] or "?") .. (kind == 1 and " session " .. session or "") .. (kind == 2 and " error " .. refusal or "")
end

dissect[8] = function(r, tree)
    local want = r:number(tree, "want", 1)
    r:bytes(tree, "reserved", 1)
    r:number(tree, "coding", 2)
    local index = r:number(tree, "index", 4)
    return string.format("%s index %d", wants[want] or "?", index)
end

dissect[16] = function(r, tree)
    local mac = reader_of(r.range)
    r.range = r.range(0, r.range:len() - 16)
    mac.at = r.range:len()
    r:number(tree, "incarnation", 8)
    r:bytes(tree, "nonce", 16)
    local cookie = r.range(r.at, 16):bytes():tohex()
    r:bytes(tree, "cookie", 16)
    local id_size = r:take(1):le_uint()
    local labels = r:number(tree, "label_count", 1)
    r:bytes(tree, "reserved", 6)
    local id = r:text(tree, "id", id_size)
    for _ = 1, labels do
        local key_size = r:take(1):le_uint()
        local value_size = r:take(1):le_uint()
        r:text(tree, "label_key", key_size)
        r:text(tree, "label_value", value_size)
    end
    r:tlvs(tree)
    mac:bytes(tree, "mac", 16)
    return id .. (cookie:match("^0+$") and ", no cookie yet" or ", with a cookie")
end

local function trailer(r, tree)
    local sub = tree:add(confcast, r.range(r.at), "Session trailer")
    r:number(sub, "session", 4)
    r:bytes(sub, "reserved", 4)
    r:number(sub, "frame_seq", 8)
    r:bytes(sub, "mac", 16)
end

dissect[17] = function(r, tree)
    r:number(tree, "incarnation", 8)
    local seq = r:number(tree, "report_seq", 8)
    r:number(tree, "clock_error_ns", 8)
    r:number(tree, "clock_bound_us", 4)
    local part = r:number(tree, "part", 1)
    local parts = r:number(tree, "part_count", 1)
    local entries = r:number(tree, "entry_count", 2)
    r:bytes(tree, "tag", 16)
    for _ = 1, entries do
        local sub = tree:add(confcast, r.range(r.at), "Scope")
        r:number(sub, "scope_id", 8)
        r:number(sub, "epoch", 8)
        r:number(sub, "accepted", 8)
        r:number(sub, "serving", 8)
        r:number(sub, "durable", 8)
        r:number(sub, "content_key", 8)
        local state = r:number(sub, "state", 1)
        r:number(sub, "arm", 1)
        r:number(sub, "reason", 2)
        r:number(sub, "report_flags", 4)
        sub:set_len(56)
        sub:append_text(": " .. (states[state] or "?"))
    end
    trailer(r, tree)
    return string.format("report %s part %d of %d, %d scope%s", tostring(seq), part + 1, parts, entries, entries == 1 and "" or "s")
end

dissect[18] = function(r, tree)
    local entries = r:number(tree, "entry_count", 2)
    local words = {}
    r:bytes(tree, "reserved", 6)
    for _ = 1, entries do
        local sub = tree:add(confcast, r.range(r.at), "Entry")
        local want = r:number(sub, "want", 1)
        r:number(sub, "level", 1)
        r:number(sub, "coding", 2)
        local index = r:number(sub, "index", 4)
        r:number(sub, "key", 8)
        r:number(sub, "mask", 8)
        local count = r:number(sub, "count", 2)
        r:bytes(sub, "reserved", 6)
        sub:set_len(32)
        words[#words + 1] = (wants[want] or "?") .. (want == 4 and string.format(" %d of block %d", count, index) or "")
        sub:append_text(": " .. words[#words])
    end
    trailer(r, tree)
    return table.concat(words, ", ")
end

dissect[137] = function(r, tree)
    local kind = r:number(tree, "advice", 1)
    r:bytes(tree, "reserved", 3)
    local hold = r:number(tree, "hold_s", 4)
    r:number(tree, "session", 4)
    r:bytes(tree, "reserved", 4)
    r:number(tree, "advice_seq", 8)
    r:bytes(tree, "mac", 16)
    return string.format("%s for %d s", advices[kind] or "?", hold)
end

dissect[147] = function(r, tree)
    local expected = r:number(tree, "expected", 4)
    local lost = r:number(tree, "lost", 4)
    local loss = r:number(tree, "loss", 2)
    r:number(tree, "loss_windows", 1)
    r:bytes(tree, "reserved", 1)
    r:number(tree, "loss_flags", 4)
    local whole = r.range
    r.range = whole(0, whole:len() - 32)
    r:tlvs(tree)
    r.range = whole
    trailer(r, tree)
    return string.format("%.2f %%, %d of %d symbols", loss / 655.36, lost, expected)
end

-- What the key of each type is.
local key_names = {
    [1] = "scope_id", [2] = "content_key", [3] = "content_key", [4] = "content_key", [5] = "key", [6] = "boot_id",
    [7] = "boot_id", [8] = "key", [16] = "consumer_key", [17] = "consumer_key", [18] = "consumer_key",
    [137] = "boot_id", [147] = "consumer_key",
}

local function dissect_frame(r, tree)
    r:number(tree, "magic", 2)
    local version = r:number(tree, "version", 1)
    local kind = r:number(tree, "type", 1)
    local size = r:number(tree, "size", 2)
    if version ~= 1 then
        return kind, "version " .. version
    end
    r:number(tree, "flags", 2)
    r:number(tree, key_names[kind] or "key", 8)
    if size ~= r.range:len() then
        error("says that it has " .. size .. " bytes and has " .. r.range:len(), 0)
    end
    if dissect[kind] == nil then
        return kind, "unknown"
    end
    local info = dissect[kind](r, tree)
    if r:left() > 0 then
        error("has " .. r:left() .. " bytes too many", 0)
    end
    return kind, info
end

function confcast.dissector(buffer, pinfo, tree)
    if buffer:len() < 2 or buffer(0, 2):le_uint() ~= 0xcfc5 then
        return 0
    end
    local sub = tree:add(confcast, buffer())
    local is_good, kind, info = pcall(dissect_frame, reader_of(buffer()), sub)
    pinfo.cols.protocol = "confcast"
    if not is_good then
        sub:add_proto_expert_info(malformed, "Malformed frame: " .. tostring(kind))
        info = "malformed: " .. tostring(kind)
        kind = buffer:len() > 3 and buffer(3, 1):uint() or 0
    end
    local name = types[kind] or ("type " .. kind)
    pinfo.cols.info = name .. " " .. info
    sub:append_text(" " .. name .. ", " .. info)
    return buffer:len()
end

local registered = 0

local function register()
    local ports = DissectorTable.get("udp.port")
    if registered ~= 0 then
        ports:remove(registered, confcast)
    end
    registered = confcast.prefs.port
    if registered ~= 0 then
        ports:add(registered, confcast)
    end
end

confcast.prefs_changed = register
register()

confcast:register_heuristic("udp", function(buffer, pinfo, tree)
    if buffer:len() < 16 or buffer(0, 2):le_uint() ~= 0xcfc5 or buffer(2, 1):uint() ~= 1 or
        buffer(4, 2):le_uint() ~= buffer:len() then
        return false
    end
    confcast.dissector(buffer, pinfo, tree)
    return true
end)
