/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Decoding, and the cache of decoded instructions.
 *
 * The few forms that drivers touch registers with (moves of general registers and
 * immediates) are recognised for what they are.  Everything else with a ModRM memory
 * operand becomes INSN_GENERIC: a copy of the instruction in which the operand's address
 * is replaced by a RIP-relative one, byte by byte, so that every encoding with a ModRM
 * byte (legacy, VEX, EVEX, 3DNow!) goes the same way and nothing depends on an encoder
 * knowing it.  In that form the address-extending bits of REX, VEX and EVEX have no
 * meaning, and the displacement is never compressed.
 *
 * A cache entry is a sequence lock over plain words: readers in signal handlers of many
 * threads never wait.  An entry counts only if the bytes at its address are still the
 * ones that were decoded, so text that was replaced needs no flush.
 */
#include "inject/x86_64/insn.h"

#include <stdatomic.h>
#include <string.h>

#include <Zydis/Zydis.h>

#include "inject/x86_64/guarded.h"

#define CACHE_SIZE 256u
#define PAGE       4096u

struct insn_scratch {
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];
};

const size_t insn_scratch_size = sizeof(struct insn_scratch);

#define WORDS ((sizeof(struct insn) + 7) / 8)

struct entry {
	_Atomic uint32_t sequence; /* odd: being written */
	_Atomic uint64_t word[WORDS];
};

static struct entry cache[CACHE_SIZE];
static ZydisDecoder decoder;

void insn_setup(void)
{
	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
}

static struct entry *entry_of(uint64_t rip)
{
	return &cache[(rip ^ (rip >> 8) ^ (rip >> 16)) % CACHE_SIZE];
}

bool insn_cached(uint64_t rip, struct insn *ret_insn)
{
	struct entry *e = entry_of(rip);
	union {
		uint64_t word[WORDS];
		struct insn insn;
	} copy;
	uint32_t before = atomic_load_explicit(&e->sequence, memory_order_acquire);

	if (before & 1 || atomic_load_explicit(&e->word[0], memory_order_relaxed) != rip)
		return false;
	for (size_t i = 0; i < WORDS; i++)
		copy.word[i] = atomic_load_explicit(&e->word[i], memory_order_relaxed);
	atomic_thread_fence(memory_order_acquire);
	if (atomic_load_explicit(&e->sequence, memory_order_relaxed) != before)
		return false;
	/* The processor has just fetched these bytes: they can be read. */
	if (memcmp(copy.insn.bytes, (const void *)rip, copy.insn.length) != 0)
		return false;
	*ret_insn = copy.insn;
	return true;
}

static void cache_put(const struct insn *insn)
{
	struct entry *e = entry_of(insn->rip);
	uint32_t before = atomic_load_explicit(&e->sequence, memory_order_relaxed);
	union {
		uint64_t word[WORDS];
		struct insn insn;
	} copy = {{0}};

	if (before & 1 || !atomic_compare_exchange_strong(&e->sequence, &before, before + 1))
		return;
	copy.insn = *insn;
	for (size_t i = 0; i < WORDS; i++)
		atomic_store_explicit(&e->word[i], copy.word[i], memory_order_relaxed);
	atomic_store_explicit(&e->sequence, before + 2, memory_order_release);
}

static bool is_general(ZydisRegister reg)
{
	switch (ZydisRegisterGetClass(reg)) {
	case ZYDIS_REGCLASS_GPR8:
	case ZYDIS_REGCLASS_GPR16:
	case ZYDIS_REGCLASS_GPR32:
	case ZYDIS_REGCLASS_GPR64:
		return true;
	default:
		return false;
	}
}

/* The hardware's number of a general register; ah..bh have *shift 8. */
static uint8_t general_number(ZydisRegister reg, uint8_t *shift)
{
	*shift = 0;
	if (reg >= ZYDIS_REGISTER_AH && reg <= ZYDIS_REGISTER_BH) {
		*shift = 8;
		return (uint8_t)(reg - ZYDIS_REGISTER_AH);
	}
	if (reg >= ZYDIS_REGISTER_SPL && reg <= ZYDIS_REGISTER_DIL)
		return (uint8_t)(reg - ZYDIS_REGISTER_SPL + 4);
	if (reg >= ZYDIS_REGISTER_R8B && reg <= ZYDIS_REGISTER_R15B)
		return (uint8_t)(reg - ZYDIS_REGISTER_R8B + 8);
	return (uint8_t)ZydisRegisterGetId(reg);
}

static uint8_t address_register(ZydisRegister reg)
{
	uint8_t shift;

	if (reg == ZYDIS_REGISTER_NONE)
		return INSN_NO_REGISTER;
	if (reg == ZYDIS_REGISTER_RIP || reg == ZYDIS_REGISTER_EIP)
		return INSN_IP;
	return general_number(reg, &shift);
}

static void take_address(struct insn *insn, const ZydisDecodedInstruction *z,
			 const ZydisDecodedOperandMem *mem)
{
	insn->base = address_register(mem->base);
	insn->index = address_register(mem->index);
	insn->scale = mem->scale;
	insn->displacement = mem->disp.has_displacement ? mem->disp.value : 0;
	insn->narrow = z->address_width == 32;
	if (mem->segment == ZYDIS_REGISTER_FS)
		insn->segment = SEGMENT_FS;
	else if (mem->segment == ZYDIS_REGISTER_GS)
		insn->segment = SEGMENT_GS;
}

/* The memory operand that ModRM (or a moffs) names, or NULL. */
static const ZydisDecodedOperand *explicit_memory(const struct insn_scratch *s)
{
	for (unsigned i = 0; i < s->insn.operand_count_visible; i++)
		if (s->operand[i].type == ZYDIS_OPERAND_TYPE_MEMORY)
			return &s->operand[i];
	return NULL;
}

static void take_register(struct insn *insn, const ZydisDecodedOperand *operand)
{
	insn->reg = general_number(operand->reg.value, &insn->reg_shift);
	insn->reg_size = (uint8_t)(operand->size / 8);
}

/* mov and its widening kin between memory and general registers or immediates. */
static bool decode_move(struct insn *insn, const struct insn_scratch *s,
			const ZydisDecodedOperand *memory)
{
	const ZydisDecodedOperand *other =
		memory == &s->operand[0] ? &s->operand[1] : &s->operand[0];

	switch (s->insn.mnemonic) {
	case ZYDIS_MNEMONIC_MOVSX:
	case ZYDIS_MNEMONIC_MOVSXD:
		insn->sign_extend = true;
		break;
	case ZYDIS_MNEMONIC_MOV:
	case ZYDIS_MNEMONIC_MOVZX:
	case ZYDIS_MNEMONIC_MOVNTI:
		break;
	default:
		return false;
	}
	if (other->type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
		insn->kind = INSN_STORE_IMM;
		insn->immediate = other->imm.value.u;
		return true;
	}
	if (other->type != ZYDIS_OPERAND_TYPE_REGISTER || !is_general(other->reg.value))
		return false;
	take_register(insn, other);
	insn->kind = memory == &s->operand[0] ? INSN_STORE : INSN_LOAD;
	return true;
}

static bool decode_string(struct insn *insn, const struct insn_scratch *s)
{
	const ZydisDecodedInstruction *z = &s->insn;

	switch (z->mnemonic) {
	case ZYDIS_MNEMONIC_MOVSB:
	case ZYDIS_MNEMONIC_MOVSW:
	case ZYDIS_MNEMONIC_MOVSD:
	case ZYDIS_MNEMONIC_MOVSQ:
		insn->string = STRING_MOVS;
		break;
	case ZYDIS_MNEMONIC_STOSB:
	case ZYDIS_MNEMONIC_STOSW:
	case ZYDIS_MNEMONIC_STOSD:
	case ZYDIS_MNEMONIC_STOSQ:
		insn->string = STRING_STOS;
		break;
	case ZYDIS_MNEMONIC_LODSB:
	case ZYDIS_MNEMONIC_LODSW:
	case ZYDIS_MNEMONIC_LODSD:
	case ZYDIS_MNEMONIC_LODSQ:
		insn->string = STRING_LODS;
		break;
	case ZYDIS_MNEMONIC_CMPSB:
	case ZYDIS_MNEMONIC_CMPSW:
	case ZYDIS_MNEMONIC_CMPSD:
	case ZYDIS_MNEMONIC_CMPSQ:
		insn->string = STRING_CMPS;
		break;
	case ZYDIS_MNEMONIC_SCASB:
	case ZYDIS_MNEMONIC_SCASW:
	case ZYDIS_MNEMONIC_SCASD:
	case ZYDIS_MNEMONIC_SCASQ:
		insn->string = STRING_SCAS;
		break;
	default:
		return false;
	}
	/* movsd and cmpsd are SSE2 instructions too. */
	if (z->meta.category != ZYDIS_CATEGORY_STRINGOP)
		return false;
	insn->kind = INSN_STRING;
	insn->size = (uint8_t)(z->operand_width / 8);
	if (z->opcode % 2 == 0)
		insn->size = 1;
	insn->repeat = REPEAT_NONE;
	if (z->attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE))
		insn->repeat = REPEAT_WHILE_EQUAL;
	else if (z->attributes & ZYDIS_ATTRIB_HAS_REPNE)
		insn->repeat = REPEAT_WHILE_NOT_EQUAL;
	if (z->address_width != 64 ||
	    z->attributes & (ZYDIS_ATTRIB_HAS_SEGMENT_FS | ZYDIS_ATTRIB_HAS_SEGMENT_GS))
		insn->kind = INSN_UNKNOWN;
	return true;
}

static bool decode_stack(struct insn *insn, const ZydisDecodedInstruction *z)
{
	bool near = z->meta.branch_type == ZYDIS_BRANCH_TYPE_NEAR;

	switch (z->mnemonic) {
	case ZYDIS_MNEMONIC_PUSH:
		insn->kind = INSN_PUSH;
		return true;
	case ZYDIS_MNEMONIC_POP:
		insn->kind = INSN_POP;
		return true;
	case ZYDIS_MNEMONIC_CALL:
		insn->kind = near ? INSN_CALL : INSN_UNKNOWN;
		return true;
	case ZYDIS_MNEMONIC_JMP:
		insn->kind = near ? INSN_JUMP : INSN_UNKNOWN;
		return true;
	case ZYDIS_MNEMONIC_CLFLUSH:
	case ZYDIS_MNEMONIC_CLFLUSHOPT:
	case ZYDIS_MNEMONIC_CLWB:
	case ZYDIS_MNEMONIC_CLDEMOTE:
		insn->kind = INSN_SKIP;
		return true;
	default:
		return false;
	}
}

static bool is_bit_test(ZydisMnemonic mnemonic)
{
	return mnemonic == ZYDIS_MNEMONIC_BT || mnemonic == ZYDIS_MNEMONIC_BTS ||
	       mnemonic == ZYDIS_MNEMONIC_BTR || mnemonic == ZYDIS_MNEMONIC_BTC;
}

/* What of an instruction's state lies outside the general registers and flags. */
static bool needs_vector(const struct insn_scratch *s)
{
	for (unsigned i = 0; i < s->insn.operand_count; i++) {
		const ZydisDecodedOperand *o = &s->operand[i];

		if (o->type != ZYDIS_OPERAND_TYPE_REGISTER || is_general(o->reg.value))
			continue;
		if (ZydisRegisterGetClass(o->reg.value) != ZYDIS_REGCLASS_FLAGS)
			return true;
	}
	return s->insn.meta.isa_ext == ZYDIS_ISA_EXT_X87;
}

/* Whether a mask selects which elements of the memory operand are touched. */
static bool is_masked(const ZydisDecodedInstruction *z)
{
	switch (z->mnemonic) {
	case ZYDIS_MNEMONIC_VMASKMOVPS:
	case ZYDIS_MNEMONIC_VMASKMOVPD:
	case ZYDIS_MNEMONIC_VPMASKMOVD:
	case ZYDIS_MNEMONIC_VPMASKMOVQ:
		return true;
	default:
		return z->avx.mask.reg != ZYDIS_REGISTER_NONE &&
		       z->avx.mask.reg != ZYDIS_REGISTER_K0;
	}
}

/* Instructions whose copy would not do the same, or not to the same memory. */
static bool can_copy(const struct insn_scratch *s, const ZydisDecodedOperand *memory)
{
	const ZydisDecodedInstruction *z = &s->insn;
	bool conditional =
		memory->actions & (ZYDIS_OPERAND_ACTION_CONDREAD | ZYDIS_OPERAND_ACTION_CONDWRITE);

	if (memory->encoding != ZYDIS_OPERAND_ENCODING_MODRM_RM ||
	    memory->mem.type != ZYDIS_MEMOP_TYPE_MEM || memory->size == 0 ||
	    memory->size > INSN_OPERAND_MAX * 8)
		return false;
	/* sgdt and its like are emulated by the kernel, at their own place only. */
	if (z->meta.category == ZYDIS_CATEGORY_SYSTEM)
		return false;
	/* Elements that the mask leaves out must not be touched: stores can be sorted out. */
	if (is_masked(z) && (memory->actions & ZYDIS_OPERAND_ACTION_MASK_READ))
		return false;
	if (conditional && needs_vector(s) && !is_masked(z))
		return false;
	for (unsigned i = 0; i < z->operand_count; i++) {
		const ZydisDecodedOperand *o = &s->operand[i];

		if (o != memory && o->type == ZYDIS_OPERAND_TYPE_MEMORY)
			return false;
		if (o->type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    (o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) &&
		    ZydisRegisterGetClass(o->reg.value) == ZYDIS_REGCLASS_SEGMENT)
			return false;
	}
	return true;
}

static bool is_dropped_prefix(uint8_t byte)
{
	return byte == 0x26 || byte == 0x2e || byte == 0x36 || byte == 0x3e || byte == 0x64 ||
	       byte == 0x65 || byte == 0x67;
}

/* The copy with a RIP-relative operand: prefixes and opcode, ModRM, displacement, the rest. */
static bool build_copy(struct insn *insn, const ZydisDecodedInstruction *z)
{
	unsigned modrm = z->raw.modrm.offset, tail, n = 0;

	if (!(z->attributes & ZYDIS_ATTRIB_HAS_MODRM))
		return false;
	for (unsigned i = 0; i < modrm; i++)
		if (i >= z->raw.prefix_count || !is_dropped_prefix(insn->bytes[i]))
			insn->code[n++] = insn->bytes[i];
	insn->code[n++] = (uint8_t)((insn->bytes[modrm] & 0x38) | 0x05);
	insn->operand_at = (uint8_t)n;
	n += 4;
	tail = modrm + 1 + (z->attributes & ZYDIS_ATTRIB_HAS_SIB ? 1 : 0) + z->raw.disp.size / 8;
	while (tail < z->length)
		insn->code[n++] = insn->bytes[tail++];
	insn->code_length = (uint8_t)n;
	return true;
}

static void decode_generic(struct insn *insn, const struct insn_scratch *s,
			   const ZydisDecodedOperand *memory)
{
	const ZydisDecodedInstruction *z = &s->insn;

	if (!can_copy(s, memory) || !build_copy(insn, z))
		return;
	insn->reads = memory->actions & ZYDIS_OPERAND_ACTION_MASK_READ;
	insn->writes = memory->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
	insn->masked = is_masked(z);
	insn->vector = needs_vector(s);
	if (is_bit_test(z->mnemonic) && s->operand[1].type == ZYDIS_OPERAND_TYPE_REGISTER) {
		take_register(insn, &s->operand[1]);
		insn->bit_reg = insn->reg;
	}
	if (z->mnemonic == ZYDIS_MNEMONIC_DIV)
		insn->divide = DIVIDE_UNSIGNED;
	else if (z->mnemonic == ZYDIS_MNEMONIC_IDIV)
		insn->divide = DIVIDE_SIGNED;
	insn->kind = INSN_GENERIC;
}

static void classify(struct insn *insn, const struct insn_scratch *s)
{
	const ZydisDecodedOperand *memory;

	if (decode_string(insn, s))
		return;
	memory = explicit_memory(s);
	if (!memory || memory->mem.type != ZYDIS_MEMOP_TYPE_MEM)
		return;
	take_address(insn, &s->insn, &memory->mem);
	insn->size = memory->size <= INSN_OPERAND_MAX * 8 ? (uint8_t)(memory->size / 8) : 0;
	if (decode_stack(insn, &s->insn) || decode_move(insn, s, memory))
		return;
	decode_generic(insn, s, memory);
}

/* The bytes at rip: as many of 15 as are mapped. */
static size_t fetch(uint64_t rip, uint8_t bytes[15])
{
	size_t first = PAGE - rip % PAGE;

	if (first > 15)
		first = 15;
	if (guarded_copy(bytes, (const void *)rip, first))
		return 0;
	if (first < 15 && guarded_copy(bytes + first, (const void *)(rip + first), 15 - first))
		return first;
	return 15;
}

void insn_decode(uint64_t rip, struct insn *ret_insn, void *room)
{
	struct insn_scratch *s = room;
	size_t n;

	memset(ret_insn, 0, sizeof(*ret_insn));
	ret_insn->rip = rip;
	ret_insn->kind = INSN_UNKNOWN;
	ret_insn->base = ret_insn->index = ret_insn->bit_reg = INSN_NO_REGISTER;
	n = fetch(rip, ret_insn->bytes);
	if (!ZYAN_SUCCESS(
		    ZydisDecoderDecodeFull(&decoder, ret_insn->bytes, n, &s->insn, s->operand)))
		return;
	ret_insn->length = s->insn.length;
	classify(ret_insn, s);
	cache_put(ret_insn);
}

void insn_format(uint64_t rip, char *text, size_t size)
{
	ZydisFormatter formatter;
	struct insn_scratch s;
	uint8_t bytes[15] = {0};
	size_t n = fetch(rip, bytes);

	text[0] = '\0';
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, n, &s.insn, s.operand)))
		return;
	ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
	ZydisFormatterFormatInstruction(&formatter, &s.insn, s.operand,
					s.insn.operand_count_visible, text, size, rip, NULL);
}
