#include "controlplane/ctl/args.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct cfc_ctl_option *
find_option(const struct cfc_ctl_option *options, const char *name, size_t name_size,
            char short_name)
{
    for (; options != NULL && options->name != NULL; options++) {
        if (name != NULL
                ? strlen(options->name) == name_size && memcmp(options->name, name, name_size) == 0
                : options->short_name == short_name) {
            return options;
        }
    }
    return NULL;
}

const struct cfc_ctl_option *
cfc_ctl_args_find(const struct cfc_ctl_command *command,
                  const struct cfc_ctl_option *program_options, const char *word)
{
    const char *name = word[1] == '-' ? word + 2 : NULL;
    size_t name_size = name != NULL ? strcspn(name, "=") : 0;
    const struct cfc_ctl_option *option =
        find_option(command != NULL ? command->options : NULL, name, name_size, word[1]);

    return option != NULL ? option : find_option(program_options, name, name_size, word[1]);
}

struct parser {
    bool is_quiet;
    int argc;
    char **argv;
    int idx;
    const struct cfc_ctl_option *program_options;
    struct cfc_ctl_args *args;
};

static int refuse(const struct parser *p, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static int
refuse(const struct parser *p, const char *format, ...)
{
    char text[512];
    va_list values;

    if (p->is_quiet) {
        return CFC_EXIT_USAGE;
    }
    va_start(values, format);
    vsnprintf(text, sizeof(text), format, values);
    va_end(values);
    return cfc_ctl_fail(CFC_EXIT_USAGE, "%s", text);
}

/* Takes the option at argv[idx]. */
static int
take_option(struct parser *p)
{
    const char *word = p->argv[p->idx++];
    const char *name = word[1] == '-' ? word + 2 : NULL;
    size_t name_size = name != NULL ? strcspn(name, "=") : 0;
    const char *value = NULL;
    const struct cfc_ctl_option *option =
        cfc_ctl_args_find(p->args->command, p->program_options, word);

    if (option == NULL) {
        return refuse(p, "%.*s is not an option here; see confcastctl %s --help",
                      (int)(name != NULL ? name_size + 2 : 2), word,
                      p->args->command != NULL ? p->args->command->name : "");
    }
    if (name != NULL && name[name_size] == '=') {
        value = name + name_size + 1;
    } else if (name == NULL && word[2] != '\0') {
        value = word + 2;
    }
    if (option->value == NULL && value != NULL) {
        return refuse(p, "--%s takes no value", option->name);
    }
    if (option->value != NULL && value == NULL) {
        if (p->idx == p->argc) {
            p->args->pending = option;
            return refuse(p, "%s needs a value", word);
        }
        value = p->argv[p->idx++];
    }
    if (p->args->option_count == CFC_ARGS_OPTIONS_MAX) {
        return refuse(p, "too many options");
    }
    p->args->options[p->args->option_count++] =
        (struct cfc_ctl_given){.option = option, .value = value};
    return CFC_EXIT_OK;
}

static bool
name_matches(const struct cfc_ctl_command *command, const char *first, const char *second)
{
    size_t size = strlen(first);

    if (second == NULL) {
        return strcmp(command->name, first) == 0;
    }
    return strncmp(command->name, first, size) == 0 && command->name[size] == ' ' &&
           strcmp(command->name + size + 1, second) == 0;
}

/* Letters to add, take away, exchange or swap with the next; beyond ten letters they are far. */
static size_t
distance(const char *a, const char *b)
{
    enum {
        SIZE_MAX_ = 10
    };
    size_t rows[SIZE_MAX_ + 1][SIZE_MAX_ + 1];
    size_t a_size = strlen(a);
    size_t b_size = strlen(b);

    if (a_size > SIZE_MAX_ || b_size > SIZE_MAX_) {
        return SIZE_MAX_;
    }
    for (size_t i = 0; i <= a_size; i++) {
        for (size_t j = 0; j <= b_size; j++) {
            size_t best = i == 0 ? j : j == 0 ? i : rows[i - 1][j - 1] + (a[i - 1] != b[j - 1]);

            if (i > 0 && j > 0) {
                best = rows[i - 1][j] + 1 < best ? rows[i - 1][j] + 1 : best;
                best = rows[i][j - 1] + 1 < best ? rows[i][j - 1] + 1 : best;
            }
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                best = rows[i - 2][j - 2] + 1 < best ? rows[i - 2][j - 2] + 1 : best;
            }
            rows[i][j] = best;
        }
    }
    return rows[a_size][b_size];
}

/* Names what was meant: the commands of a group, or the one that is spelt nearly so. */
static int
refuse_command(const struct parser *p, const struct cfc_ctl_command *commands, const char *first)
{
    const char *nearest = NULL;
    size_t nearest_distance = 3; /* one that is further away was not meant */
    char group[256] = "";
    size_t size = 0;

    for (const struct cfc_ctl_command *c = commands; c->name != NULL; c++) {
        size_t word_size = strcspn(c->name, " ");
        char word[32];

        snprintf(word, sizeof(word), "%.*s", (int)word_size, c->name);
        if (strcmp(word, first) == 0 && size < sizeof(group)) {
            size += (size_t)snprintf(group + size, sizeof(group) - size, "%s%s",
                                     size > 0 ? ", " : "", c->name + word_size + 1);
        }
        if (distance(word, first) < nearest_distance) {
            nearest = c->name;
            nearest_distance = distance(word, first);
        }
    }
    if (size > 0) {
        return refuse(p, "%s needs one of: %s", first, group);
    }
    if (nearest != NULL) {
        return refuse(p, "%s is not a command; did you mean %.*s? See confcastctl --help", first,
                      (int)strcspn(nearest, " "), nearest);
    }
    return refuse(p, "%s is not a command; see confcastctl --help", first);
}

/* Takes the command's name, of two words where there is one. */
static int
take_command(struct parser *p, const struct cfc_ctl_command *commands)
{
    const char *first = p->argv[p->idx];
    const char *second = p->idx + 1 < p->argc ? p->argv[p->idx + 1] : NULL;

    for (const struct cfc_ctl_command *c = commands; c->name != NULL && second != NULL; c++) {
        if (name_matches(c, first, second)) {
            p->args->command = c;
            p->idx += 2;
            return CFC_EXIT_OK;
        }
    }
    for (const struct cfc_ctl_command *c = commands; c->name != NULL; c++) {
        if (name_matches(c, first, NULL)) {
            p->args->command = c;
            p->idx++;
            return CFC_EXIT_OK;
        }
    }
    p->args->unknown = first;
    return refuse_command(p, commands, first);
}

static int
take_positional(struct parser *p)
{
    if (p->args->positional_count == CFC_ARGS_POSITIONALS_MAX ||
        p->args->positional_count == p->args->command->positional_max) {
        return refuse(p, "too many arguments: %s\nusage: confcastctl %s %s", p->argv[p->idx],
                      p->args->command->name, p->args->command->usage);
    }
    p->args->positionals[p->args->positional_count++] = p->argv[p->idx++];
    return CFC_EXIT_OK;
}

static int
read_words(struct parser *p, const struct cfc_ctl_command *commands)
{
    bool are_options_over = false;
    int rc = CFC_EXIT_OK;

    memset(p->args, 0, sizeof(*p->args));
    while (p->idx < p->argc && rc == CFC_EXIT_OK) {
        const char *word = p->argv[p->idx];

        if (!are_options_over && strcmp(word, "--") == 0) {
            are_options_over = true;
            p->idx++;
        } else if (!are_options_over && word[0] == '-' && word[1] != '\0') {
            rc = take_option(p);
        } else if (p->args->command == NULL) {
            rc = take_command(p, commands);
        } else {
            rc = take_positional(p);
        }
    }
    return rc;
}

int
cfc_ctl_args_parse(int argc, char **argv, const struct cfc_ctl_command *commands,
                   const struct cfc_ctl_option *program_options, struct cfc_ctl_args *args)
{
    struct parser p = {
        .argc = argc, .argv = argv, .idx = 1, .program_options = program_options, .args = args};
    int rc = read_words(&p, commands);

    if (rc == CFC_EXIT_OK && args->command != NULL && !cfc_ctl_has(args, "help") &&
        args->positional_count < args->command->positional_min) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "usage: confcastctl %s %s", args->command->name,
                            args->command->usage);
    }
    return rc;
}

void
cfc_ctl_args_read(int argc, char **argv, const struct cfc_ctl_command *commands,
                  const struct cfc_ctl_option *program_options, struct cfc_ctl_args *args)
{
    struct parser p = {.is_quiet = true,
                       .argc = argc,
                       .argv = argv,
                       .idx = 1,
                       .program_options = program_options,
                       .args = args};

    (void)read_words(&p, commands);
}

static bool
is_named(const struct cfc_ctl_given *given, const char *name)
{
    return strcmp(given->option->name, name) == 0;
}

const char *
cfc_ctl_option_at(const struct cfc_ctl_args *args, const char *name, size_t n)
{
    for (size_t i = 0; i < args->option_count; i++) {
        if (is_named(&args->options[i], name) && n-- == 0) {
            return args->options[i].value;
        }
    }
    return NULL;
}

const char *
cfc_ctl_option(const struct cfc_ctl_args *args, const char *name)
{
    for (size_t i = args->option_count; i > 0; i--) {
        if (is_named(&args->options[i - 1], name)) {
            return args->options[i - 1].value;
        }
    }
    return NULL;
}

bool
cfc_ctl_has(const struct cfc_ctl_args *args, const char *name)
{
    for (size_t i = 0; i < args->option_count; i++) {
        if (is_named(&args->options[i], name)) {
            return true;
        }
    }
    return false;
}

bool
cfc_ctl_command_has(const struct cfc_ctl_command *command, const char *name)
{
    return find_option(command->options, name, strlen(name), '\0') != NULL;
}

const char *
cfc_ctl_positional(const struct cfc_ctl_args *args, size_t n)
{
    return n < args->positional_count ? args->positionals[n] : NULL;
}

/* Reads digits up to the first other character. */
static bool
read_digits(const char **text, uint64_t max, uint64_t *out)
{
    const char *p = *text;
    uint64_t value = 0;

    for (; *p >= '0' && *p <= '9'; p++) {
        uint64_t digit = (uint64_t)(*p - '0');

        if (digit > max || value > (max - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    if (p == *text) {
        return false;
    }
    *text = p;
    *out = value;
    return true;
}

bool
cfc_ctl_uint(const char *text, uint64_t max, uint64_t *out)
{
    return read_digits(&text, max, out) && *text == '\0';
}

bool
cfc_ctl_duration_ms(const char *text, uint64_t *out_ms)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"ms", 1}, {"", 1000}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    uint64_t value;

    if (!read_digits(&text, UINT32_MAX, &value)) {
        return false;
    }
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(text, units[i].unit) == 0) {
            *out_ms = value * units[i].ms;
            return true;
        }
    }
    return false;
}
